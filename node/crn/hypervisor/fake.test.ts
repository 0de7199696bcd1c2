import { fakeHypervisor } from './fake.ts'
import { guestDir, hypervisorConformance } from './hypervisor.conformance.ts'

hypervisorConformance('fake', (folders) => fakeHypervisor({ guestDir, ...folders }), { ownKernel: false })
