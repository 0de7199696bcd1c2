/**
 * Writes docs/reference/: every error code and every configuration key, from the sources. With --check it only compares.
 */
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { type ConfigSchema, describeConfig, envName } from '../core/config.ts'

const root = new URL('..', import.meta.url).pathname

interface ErrorEntry {
  code: string
  fault: string
  status: string
  text: string
  file: string
}

function errorEntries(): ErrorEntry[] {
  const files = globSync('{core,gateway,acme,resolver,node,cli}/**/*.ts', {
    cwd: root,
    exclude: ['**/*.test.ts'],
  }).sort()
  return files.flatMap((file) => {
    const source = readFileSync(root + file, 'utf8')
    return [
      ...source.matchAll(
        /(?:\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*)?export (?:abstract )?class \w+ extends \w+ \{([\s\S]*?)\n\}/g,
      ),
    ].flatMap((match) => {
      const body = match[2] ?? ''
      const code = /readonly code(?:: string)? = '([A-Z0-9_]+)'/.exec(body)?.[1]
      if (!code) return []
      const text = (match[1] ?? '')
        .replaceAll(/\s*\*\s?/g, ' ')
        .replace(/\s+/g, ' ')
        .trim()
      return [
        {
          code,
          fault: /fault(?:: \w+)? = '(\w+)'/.exec(body)?.[1] ?? 'varies',
          status: /readonly status(?:: number)? = (\d+)/.exec(body)?.[1] ?? '500',
          text,
          file,
        },
      ]
    })
  })
}

function errorsPage(): string {
  const rows = errorEntries()
    .sort((a, b) => (a.code < b.code ? -1 : 1))
    .map(({ code, fault, status, text }) => `| \`${code}\` | ${fault} | ${status} | ${text.replaceAll('|', '\\|')} |`)
  return [
    '# Error codes',
    '',
    'Made from the sources by `deploy/node test/reference-pages.ts`; a test compares. Codes are stable, the wording may improve.',
    '"Fault" says whose mistake it is: the caller\'s, the upstream\'s (a host, a CA, DNS, a chain) or ours. The status is what an HTTP client gets.',
    '',
    '| code | fault | status | when |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n')
}

async function configPage(): Promise<string> {
  const { roles } = (await import('../cli/roles/roles.ts')) as {
    roles: Record<string, { schema: ConfigSchema; envPrefix: string }>
  }
  const sections = Object.entries(roles).flatMap(([name, role]) => [
    `## ${name}`,
    '',
    '| key | default | variable | meaning |',
    '|---|---|---|---|',
    ...describeConfig(role.schema).map(
      (leaf) =>
        `| \`${leaf.key}\` | \`${JSON.stringify(leaf.default)}\` | \`${envName(role.envPrefix, leaf.key)}\` | ${leaf.description.replaceAll('|', '\\|')} |`,
    ),
    '',
  ])
  return [
    '# Configuration keys',
    '',
    'Made from the sources by `deploy/node test/reference-pages.ts`; a test compares.',
    '',
    ...sections,
  ].join('\n')
}

/** Every generated page by its path inside the project. */
export async function referencePages(): Promise<Record<string, string>> {
  return { 'docs/reference/errors.md': errorsPage(), 'docs/reference/configuration.md': await configPage() }
}

/** Codes that two classes share, which would make them useless to a program. */
export function duplicateCodes(): string[] {
  const codes = errorEntries().map((entry) => entry.code)
  return codes.filter((code, index) => codes.indexOf(code) !== index)
}

if (import.meta.main) {
  for (const [path, text] of Object.entries(await referencePages())) {
    if (!existsSync(root + path) || readFileSync(root + path, 'utf8') !== text) console.log(`written: ${path}`)
    writeFileSync(root + path, text)
  }
}
