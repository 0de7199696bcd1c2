import { z } from 'zod'
import { AppError } from './errors.ts'

export { z }

/** Outside data does not have the shape it must have. `details` holds one `{ path, message }` per fault, at most 20. */
export class InvalidShapeError extends AppError {
  readonly code = 'INVALID_SHAPE'
  readonly fault = 'caller'
  override readonly status = 422
}

/** Parses outside data once, at the boundary. `what` names it in the error: "configuration", "message content". */
export function parseShape<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const faults = result.error.issues
    .slice(0, 20)
    .map((issue) => ({ path: issue.path.join('.') || '(root)', message: issue.message }))
  throw new InvalidShapeError(`The ${what} is not valid: ${faults.map((f) => `${f.path}: ${f.message}`).join('; ')}.`, {
    details: faults,
  })
}
