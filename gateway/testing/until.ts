/** Waits until `check` holds, for at most five seconds: tests wait for what happens, not for a time. */
export async function until(check: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 5_000
  while (!(await check())) {
    if (performance.now() > endMs) throw new Error(`still not so after 5 s: ${check}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
