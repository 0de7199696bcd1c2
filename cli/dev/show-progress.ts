/** Shows steps that run at the same time: one line that changes on a terminal, a line per finished step elsewhere. */
export function showProgress(stream: NodeJS.WriteStream = process.stderr): {
  step(name: string, state: 'starting' | 'ready'): void
  end(): void
} {
  const running = new Map<string, number>()
  const draw = (): void => {
    if (!stream.isTTY) return
    const parts = [...running].map(([name, startedAt]) => `${name} ${seconds(startedAt)}`)
    stream.write(
      `\r\u001b[K${parts.length === 0 ? '' : `  starting: ${parts.join(', ')}`.slice(0, (stream.columns ?? 100) - 1)}`,
    )
  }
  const timer = setInterval(draw, 200)
  timer.unref()
  return {
    step(name, state) {
      if (state === 'starting') {
        running.set(name, performance.now())
      } else {
        if (stream.isTTY) stream.write('\r\u001b[K')
        stream.write(`  ${name}: ready after ${seconds(running.get(name) ?? performance.now())}\n`)
        running.delete(name)
      }
      draw()
    },
    end() {
      clearInterval(timer)
      if (stream.isTTY) stream.write('\r\u001b[K')
    },
  }
}

function seconds(startedAt: number): string {
  return `${((performance.now() - startedAt) / 1_000).toFixed(1)} s`
}
