/** The runtimes that every host of ours has without asking the network, by the name of their root filesystem. */
export type RuntimeName = 'python' | 'node'

/**
 * `runtime.ref` values that name a built-in runtime. `python` is the ref that the network's SDKs send;
 * `node` is the SHA-256 of the text "lastmile runtime node 24", as the network has none for it.
 */
export const wellKnownRuntimes: Readonly<Record<RuntimeName, string>> = {
  python: '63f07193e6ee9d207b7d1fcf8286f9aee34e6f12f101d2ec77c1229f92964696',
  node: '18c4ba0241718b8e21718684376aa734af0ac3ad8cef6a029f0136b5ac91213c',
}

/** Older refs of the network's Python runtime that live programs still name. */
const aliases: Readonly<Record<string, RuntimeName>> = {
  bd79839bf96e595a06da5ac0b6ba51dea6f7e2591bb913deccded04d831d29f4: 'python',
}

/** The built-in runtime that a `runtime.ref` stands for, or undefined when it must be looked up as a STORE. */
export function findRuntime(ref: string): RuntimeName | undefined {
  if (ref === wellKnownRuntimes.python) return 'python'
  if (ref === wellKnownRuntimes.node) return 'node'
  return Object.hasOwn(aliases, ref) ? aliases[ref] : undefined
}

/**
 * Root disk images that the network's SDKs name by default for instances. A network of one's own does not have their STORE
 * messages, so a node takes them as present; hosts here do not run instances yet.
 */
const wellKnownImages: ReadonlySet<string> = new Set([
  'f7e68c568906b4ebcd3cd3c4bfdff96c489cd2a9ef73ba2d7503f244dfd578de',
])

/** Whether a ref needs no STORE message to count as present. */
export function isWellKnownRef(ref: string): boolean {
  return wellKnownImages.has(ref) || findRuntime(ref) !== undefined
}
