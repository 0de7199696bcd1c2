export interface BoundedRequest {
  method: 'GET' | 'POST'
  headers?: Record<string, string>
  body?: string
  timeoutMs: number
  bodyBytesMax: number
  signal: AbortSignal
}

/**
 * One HTTP request with a time limit and a body limit, without redirects: a 3xx is returned as it is.
 * @throws Error on network trouble, time-out, or a body over the limit (reading stops there)
 */
export async function fetchBounded(url: string, request: BoundedRequest): Promise<{ status: number; text: string }> {
  const { method, headers, body, timeoutMs, bodyBytesMax } = request
  const signal = AbortSignal.any([request.signal, AbortSignal.timeout(timeoutMs)])
  const response = await fetch(url, {
    method,
    redirect: 'manual',
    signal,
    ...(headers ? { headers } : {}),
    ...(body === undefined ? {} : { body }),
  })
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    // Leaving the loop cancels the stream and with it the connection.
    if (size > bodyBytesMax) throw new Error(`The answer is larger than ${bodyBytesMax} bytes.`)
    chunks.push(chunk)
  }
  return { status: response.status, text: Buffer.concat(chunks).toString('utf8') }
}
