/**
 * Writes the values of one configuration over those of another of the same shape, groups within groups. For parts that keep a group
 * (`config.balance`) from their start: their next read gives the new value, at the price of a plain field.
 */
export function overwriteConfig(live: object, next: object): void {
  const [target, source] = [live as Record<string, unknown>, next as Record<string, unknown>]
  for (const name of Object.keys(target)) if (!(name in source)) delete target[name]
  for (const [name, value] of Object.entries(source)) {
    const held = target[name]
    if (isGroup(held) && isGroup(value)) overwriteConfig(held, value)
    else target[name] = value
  }
}

/** Lists are values, not groups. */
export function isGroup(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
