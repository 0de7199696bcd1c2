import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { systemClock } from '../../../core/clock.ts'
import { systemRandom } from '../../../core/random.ts'
import { buildImage } from '../code/build-image.ts'
import { bootGuest, type Guest } from '../guest/guest.ts'
import type { GuestSettings } from '../guest/settings.ts'
import type { Hypervisor } from '../ports.ts'
import { packZip, type ZipSource } from '../table-network.ts'
import { processesUsing } from './processes-using.ts'

export const guestDir = join(import.meta.dirname, '../../../.lastmile/guest')

const options = {
  clock: systemClock,
  random: systemRandom,
  bootTimeoutMs: 30_000,
  connectionsMax: 64,
  logBytesMax: 65_536,
  logBytesPerSecondMax: 4_194_304,
}

const asgi = `
import os, socket, sys
print("hello from the program")
async def app(scope, receive, send):
    assert scope["type"] == "http", scope["type"]
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    if scope["path"] == "/exit":
        os._exit(3)
    texts = {"/size": str(size), "/env": os.environ.get("A", ""), "/name": socket.gethostname(), "/data": ""}
    if scope["path"] == "/data":
        texts["/data"] = open("/data/file").read()
    if scope["path"] == "/uid":
        texts["/uid"] = str(os.getuid())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    body = b"x" * int(scope["query_string"] or 0) if scope["path"] == "/blob" else texts.get(scope["path"], "ok").encode()
    await send({"type": "http.response.body", "body": body})
`

/**
 * What every hypervisor must do, the fake included. Runs inside the caller's test file.
 * @param make - a hypervisor whose microVMs live in the folder
 */
export function hypervisorConformance(
  name: string,
  make: (folders: { vmsDir: string; treesDir: string }) => Hypervisor,
  traits: { ownKernel: boolean },
): void {
  // Two at a time: booting is bound by one processor each.
  describe(`hypervisor ${name}`, { concurrency: 2 }, () => {
    const root = mkdtempSync(join(tmpdir(), 'lastmile-hv-'))
    const vmsDir = join(root, 'vms')
    const hypervisor = make({ vmsDir, treesDir: join(root, 'trees') })
    const started: Guest[] = []
    let serial = 0

    before(() => void mkdirSync(vmsDir))
    after(async () => {
      await Promise.all(started.map((guest) => guest[Symbol.asyncDispose]()))
      const left = readdirSync(vmsDir)
      rmSync(root, { recursive: true, force: true })
      assert.deepEqual(left, [], 'no folder of a microVM stays')
    })

    const boot = async (runtime: 'python' | 'node'): Promise<Guest> => {
      const guest = await bootGuest(hypervisor, { id: `t${serial++}`, runtime, memoryMib: 256 }, options)
      started.push(guest)
      return guest
    }
    const image = async (files: ZipSource): Promise<string> => {
      const folder = mkdtempSync(join(root, 'image-'))
      const zip = join(folder, 'zip')
      const { writeFile } = await import('node:fs/promises')
      await writeFile(zip, packZip(files))
      await buildImage(zip, { encoding: 'zip', fileName: '' }, join(folder, 'image.sqfs'), folder, {
        filesMax: 100,
        bytesMax: 1e8,
      })
      return join(folder, 'image.sqfs')
    }
    const settings = (more: Partial<GuestSettings> = {}): GuestSettings => ({
      hostname: 'program-name',
      volumes: [{ slot: 'b', mount: '/opt/code' }],
      workdir: '/opt/code',
      env: { A: 'value with = and ü' },
      entry: { kind: 'asgi', word: 'main:app' },
      ...more,
    })
    const serve = async (): Promise<Guest> => {
      const guest = await boot('python')
      await guest.vm.attach({ slot: 'b', imagePath: await image({ 'main.py': asgi }) })
      await guest.start(settings(), 20_000)
      return guest
    }

    test('the probe boots a trial guest', async () => {
      const probed = await hypervisor.probe()
      assert.equal(probed.works, true, JSON.stringify(probed))
    })

    test('a Python program gets its code, variables and requests', async () => {
      const guest = await serve()
      assert.equal(await ask(guest, '/'), 'ok')
      assert.equal(await ask(guest, '/env'), 'value with = and ü')
      if (traits.ownKernel) assert.equal(await ask(guest, '/name'), 'program-name')
      assert.notEqual(await ask(guest, '/uid'), '0', 'a program is an ordinary user')
      assert.match(guest.logs.text(), /hello from the program/)
    })

    test('a Node program is imported and reached once it listens', async () => {
      const guest = await boot('node')
      const code = `import http from 'node:http'
        await new Promise((resolve) => setTimeout(resolve, 100))
        http.createServer((request, response) => response.end(process.argv.slice(2).join())).listen(process.env.PORT)`
      await guest.vm.attach({ slot: 'b', imagePath: await image({ 'server.mjs': code }) })
      await guest.start(
        settings({ entry: { kind: 'node', word: '/opt/code/server.mjs', args: ['one', 'two'] } }),
        20_000,
      )
      assert.equal(await ask(guest, '/'), 'one,two')
    })

    test('any executable that listens on port 8080 is a program', async () => {
      const guest = await boot('python')
      const code = `from http.server import *\nclass H(BaseHTTPRequestHandler):\n  def do_GET(self):\n    self.send_response(200); self.end_headers(); self.wfile.write(b'plain')\nHTTPServer(('0.0.0.0', 8080), H).serve_forever()`
      await guest.vm.attach({ slot: 'b', imagePath: await image({ 'serve.py': code }) })
      await guest.start(settings({ entry: { kind: 'exec', words: ['python3', '/opt/code/serve.py'] } }), 20_000)
      assert.equal(await ask(guest, '/'), 'plain')
    })

    test('bodies of megabytes pass both ways, several at once', async () => {
      const guest = await serve()
      const bytes = 3_000_001
      const sizes = await Promise.all([1, 2, 3].map(() => ask(guest, '/size', Buffer.alloc(bytes, 1))))
      assert.deepEqual(sizes, Array(3).fill(String(bytes)))
      assert.equal((await ask(guest, `/blob?${bytes}`)).length, bytes)
    })

    test('code that fails to load is reported, with its traceback in the log only', async () => {
      const guest = await boot('python')
      await guest.vm.attach({ slot: 'b', imagePath: await image({ 'main.py': 'raise ValueError("the reason")' }) })
      await assert.rejects(guest.start(settings(), 20_000), (error: Error) => !error.message.includes('the reason'))
      assert.match(guest.logs.text(), /ValueError: the reason/)
      assert.match(guest.failure(), /^load: /)
    })

    test('a program that ends takes its microVM with it', async () => {
      const guest = await serve()
      await assert.rejects(ask(guest, '/exit'))
      await guest.ended
      assert.equal(guest.isGone, true)
      assert.throws(() => guest.connect(), { code: 'CRN_GUEST_ENDED' })
    })

    test('disposing leaves no process', async () => {
      const guest = await serve()
      const folder = join(vmsDir, guest.id)
      assert.ok(processesUsing(folder).length > 0)
      await guest[Symbol.asyncDispose]()
      assert.deepEqual(processesUsing(folder), [])
    })

    if (traits.ownKernel) {
      test('a further volume is attached while the guest runs', async () => {
        const guest = await boot('python')
        await guest.vm.attach({ slot: 'b', imagePath: await image({ 'main.py': asgi }) })
        await guest.vm.attach({ slot: 'c', imagePath: await image({ file: 'of the volume' }) })
        await guest.start(
          settings({
            volumes: [
              { slot: 'b', mount: '/opt/code' },
              { slot: 'c', mount: '/data' },
            ],
          }),
          20_000,
        )
        assert.equal(await ask(guest, '/data'), 'of the volume')
      })

      test('a damaged image is reported as a mount that fails', async () => {
        const guest = await boot('python')
        const path = await image({ 'main.py': asgi })
        const { writeFile } = await import('node:fs/promises')
        await writeFile(path, Buffer.concat([readFileSync(path).subarray(0, 96), Buffer.alloc(4_000, 255)]))
        await guest.vm.attach({ slot: 'b', imagePath: path })
        await assert.rejects(guest.start(settings(), 20_000))
        assert.match(guest.failure(), /^(mount|load): /)
      })

      test('guests differ from each other in identity', async () => {
        const [one, two] = [await boot('python'), await boot('python')]
        assert.notEqual(one.bootId, two.bootId)
        assert.ok((await one.vm.memoryBytes()) > 20 * 1_048_576)
        const host = execFileSync('cat', ['/proc/sys/kernel/random/boot_id'], { encoding: 'utf8' }).trim()
        assert.notEqual(one.bootId, host)
      })
    }
  })
}

function ask(guest: Guest, path: string, body?: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = http.request({
      createConnection: () => guest.connect(),
      host: 'program',
      path,
      method: body ? 'POST' : 'GET',
    })
    request.on('error', reject)
    request.on('response', (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => resolve(Buffer.concat(chunks).toString()))
      response.on('error', reject)
    })
    request.end(body)
  })
}
