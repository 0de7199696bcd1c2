import { testCertificateStore } from './conformance.ts'
import { createMemoryStore } from './memory-store.ts'

testCertificateStore('memory store', async (clock) => createMemoryStore({ clock }))
