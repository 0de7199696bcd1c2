import { compareByContentTime, contentFields } from '../content-fields.ts'
import type { AggregateState, Change, StoredMessage } from '../ports.ts'
import { aggregateId, type Incoming, type MessageState } from './state.ts'

/** The key of an aggregate, which clients write as a text or as `{ name }`. */
export function aggregateKey(key: string | { name: string }): string {
  return typeof key === 'string' ? key : key.name
}

/** Merges an element into its aggregate by signed time: members of later elements win. */
export function applyAggregate(incoming: Incoming<'AGGREGATE'>, state: MessageState): Change[] {
  const { content, message } = incoming
  const key = aggregateKey(content.key)
  const known = state.aggregates.get(aggregateId(content.address, key))
  const element = { content: incoming.raw, message }
  const next = known?.state ? addElement(known.state, element, known.elements) : mergeElements([element])
  return [{ kind: 'aggregate', owner: content.address, key, state: next }]
}

type Element = Pick<StoredMessage, 'content' | 'message'>

/** Whether all elements must be known to merge one with this time: it falls between those merged already. */
export function needsElements(state: AggregateState, time: number): boolean {
  return time <= state.updatedTime && time >= state.createdTime
}

function addElement(state: AggregateState, element: Element, elements: readonly Element[] | undefined): AggregateState {
  const { time } = contentFields(element.content)
  const { item_hash } = element.message
  const members = element.content.content as Record<string, unknown>
  if (time > state.updatedTime) {
    return { ...state, content: { ...state.content, ...members }, updatedTime: time, lastItemHash: item_hash }
  }
  if (time < state.createdTime) {
    return { ...state, content: { ...members, ...state.content }, createdTime: time, originalItemHash: item_hash }
  }
  return mergeElements([...(elements ?? []).filter((other) => other.message.item_hash !== item_hash), element])
}

/** Merges elements from nothing. `null` members stay: clients use them as deletion marks. */
export function mergeElements(elements: readonly Element[]): AggregateState {
  const ordered = [...elements].sort((a, b) => compareByContentTime(a as StoredMessage, b as StoredMessage))
  const [first] = ordered
  const last = ordered.at(-1)
  if (!first || !last) throw new TypeError('An aggregate needs an element.')
  return {
    content: Object.fromEntries(ordered.flatMap(({ content }) => Object.entries(content.content as object))),
    createdTime: contentFields(first.content).time,
    updatedTime: contentFields(last.content).time,
    originalItemHash: first.message.item_hash,
    lastItemHash: last.message.item_hash,
  }
}
