import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { findProgram, runProgram } from './programs.ts'

/** Debian package and the program that shows it is there. */
const tools: readonly (readonly [name: string, program: string])[] = [
  ['wrk', 'wrk'],
  ['nghttp2-client', 'h2load'],
  ['strace', 'strace'],
  ['util-linux', 'taskset'],
]
const services = ['nginx', 'haproxy', 'caddy']

const installMs = 10 * 60_000
const policyFile = '/usr/sbin/policy-rc.d'

/**
 * Installs the named servers, and the tools that measure them, from Debian. None of the servers starts as a service by that, now or at the
 * next boot: the harness starts its own.
 * @throws Error when apt-get fails, or the caller may not install
 */
export async function installPeers(peers: readonly string[], say: (text: string) => void): Promise<void> {
  const newServices = peers.filter((name) => services.includes(name) && !findProgram(name))
  const missing = [...newServices, ...tools.filter(([, program]) => !findProgram(program)).map(([name]) => name)]
  if (missing.length === 0) return
  const command = `apt-get install --no-install-recommends ${missing.join(' ')}`
  if (process.getuid?.() !== 0) throw new Error(`Only an administrator can install packages. Ask for: ${command}`)
  say(`installing from Debian: ${missing.join(' ')}`)
  // Debian asks this file before it starts a service; 101 means no.
  const ownPolicy = !existsSync(policyFile)
  if (ownPolicy) writeFileSync(policyFile, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    await apt(['update'])
    await apt(['install', '-y', '--no-install-recommends', ...missing])
    if (newServices.length > 0 && findProgram('systemctl')) await sh('systemctl', ['disable', ...newServices])
  } finally {
    if (ownPolicy) rmSync(policyFile)
  }
}

const apt = (args: readonly string[]): Promise<string> =>
  sh('apt-get', ['-q', '-o', 'DPkg::Lock::Timeout=120', ...args])

const sh = (command: string, args: readonly string[]): Promise<string> =>
  runProgram({ name: command, command, args, side: 'load', env: { DEBIAN_FRONTEND: 'noninteractive' } }, installMs)
