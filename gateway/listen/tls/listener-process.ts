import type { SiteCertificate } from '../../ports.ts'
import { secret, startTestListener } from './test-listener.ts'

// A process of a test: a listener that gets its certificate from the parent, tells its port, and ends with the parent.
process.once('message', async (certificate: SiteCertificate) => {
  const test = await startTestListener()
  test.certificates.ready.set('app.test', certificate)
  test.ticketKeys.set({ current: secret(7), previous: undefined })
  process.send?.(test.port)
})
process.once('disconnect', () => process.exit(0))
