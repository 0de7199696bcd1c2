import type { RequestHead } from '../forward/exchange.ts'
import { Field } from '../http1/known-fields.ts'

/**
 * How many more times an OPTIONS may be forwarded, as its Max-Forwards says; -1 for every other request, and where the field says nothing
 * clear. At 0 whoever has the request answers it.
 * @see RFC 9110 §7.6.2
 */
export function hopsLeft({ method, fields }: RequestHead): number {
  if (method !== 'OPTIONS') return -1
  const value = fields.valueOf(Field.maxForwards)
  return value !== undefined && /^\d{1,9}$/.test(value) ? Number(value) : -1
}
