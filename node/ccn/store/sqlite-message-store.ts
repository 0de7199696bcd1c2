import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import type { MessageType } from '../../protocol/content.ts'
import type { ItemType } from '../../protocol/item-hash.ts'
import type { SignedMessage } from '../../protocol/message.ts'
import { contentFields } from '../content-fields.ts'
import { StoreVersionError } from '../errors.ts'
import type {
  AggregateState,
  Change,
  FileState,
  FileTag,
  MessageStore,
  StoredMessage,
  StoreQuestion,
} from '../ports.ts'
import { planQuery } from './plan-query.ts'
import { migrations } from './sqlite-schema.ts'

type Row = Record<string, SQLInputValue>
// Queries differ only in which filters they carry; this holds far more forms than clients use.
const statementsMax = 256

/**
 * Opens (or makes) a message store in one SQLite file, in WAL mode with a full sync at each commit.
 * @param path - the file; `:memory:` for none
 * @throws StoreVersionError when a newer program made it
 */
export function openSqliteMessageStore(path: string): MessageStore & AsyncDisposable {
  const db = new DatabaseSync(path)
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000')
  migrate(db, path)
  const statements = new Map<string, StatementSync>()
  const prepare = (sql: string): StatementSync => {
    const known = statements.get(sql)
    if (known) return known
    if (statements.size >= statementsMax) statements.delete(statements.keys().next().value as string)
    const made = db.prepare(sql)
    statements.set(sql, made)
    return made
  }
  const run = (sql: string, ...values: SQLInputValue[]): void => void prepare(sql).run(...values)
  const all = (sql: string, ...values: SQLInputValue[]): Row[] => prepare(sql).all(...values) as Row[]
  const first = (sql: string, ...values: SQLInputValue[]): Row | undefined =>
    prepare(sql).get(...values) as Row | undefined

  function fileState(hash: string): FileState | undefined {
    const row = first('SELECT size FROM files WHERE hash = ?', hash)
    if (!row) return undefined
    const pins = all('SELECT item_hash FROM pins WHERE file_hash = ? ORDER BY item_hash', hash)
    return { hash, sizeBytes: Number(row.size), pins: pins.map((pin) => String(pin.item_hash)) }
  }

  return {
    async apply(changes) {
      db.exec('BEGIN IMMEDIATE')
      try {
        for (const change of changes) applyOne(change, run)
        db.exec('COMMIT')
      } catch (error) {
        db.exec('ROLLBACK')
        throw error
      }
    },
    async message(itemHash) {
      const row = first('SELECT * FROM messages WHERE item_hash = ?', itemHash)
      return row && toStored(row)
    },
    async messages(filter) {
      const { where, values, pageWhere, pageValues, suffix } = planQuery(filter)
      const rows = all(`SELECT * FROM messages WHERE ${where}${pageWhere} ${suffix}`, ...values, ...pageValues)
      const total =
        filter.count === false ? 0 : Number(first(`SELECT count(*) AS n FROM messages WHERE ${where}`, ...values)?.n)
      return { messages: rows.map(toStored), total }
    },
    async aggregates(owner, keys) {
      const rows = keys
        ? all(
            'SELECT * FROM aggregates WHERE owner = ? AND key IN (SELECT value FROM json_each(?))',
            owner,
            JSON.stringify(keys),
          )
        : all('SELECT * FROM aggregates WHERE owner = ?', owner)
      return new Map(rows.map((row) => [String(row.key), toAggregate(row)]))
    },
    file: async (hash) => fileState(hash),
    async fileTag(tag) {
      const row = first('SELECT * FROM file_tags WHERE tag = ?', tag)
      return row && { itemHash: String(row.item_hash), fileHash: String(row.file_hash), time: Number(row.time) }
    },
    async ask(question) {
      return all(...questionSql(question)).map((row) => String(row.answer))
    },
    async [Symbol.asyncDispose]() {
      statements.clear()
      db.close()
    },
  }
}

function migrate(db: DatabaseSync, path: string): void {
  const version = Number((db.prepare('PRAGMA user_version').get() as { user_version: number }).user_version)
  if (version > migrations.length) {
    throw new StoreVersionError(`The store ${path} has version ${version}; this program knows ${migrations.length}.`, {
      hint: 'Run the program version that made it, or point stateDir at an empty folder.',
    })
  }
  for (const [index, sql] of migrations.entries()) {
    if (index < version) continue
    db.exec(`BEGIN; ${sql}; PRAGMA user_version = ${index + 1}; COMMIT`)
  }
}

type Run = (sql: string, ...values: SQLInputValue[]) => void

function applyOne(change: Change, run: Run): void {
  switch (change.kind) {
    case 'message':
      putMessage(change.stored, run)
      break
    case 'aggregate':
      putAggregate(change.owner, change.key, change.state, run)
      break
    case 'file':
      run(
        'INSERT INTO files VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET unpinned_ms = max(unpinned_ms, excluded.unpinned_ms)',
        change.hash,
        change.sizeBytes,
        change.atMs,
      )
      break
    case 'dropFile':
      run('DELETE FROM files WHERE hash = ?', change.hash)
      break
    case 'pin':
      run('INSERT OR IGNORE INTO pins VALUES (?, ?)', change.fileHash, change.itemHash)
      break
    case 'unpin':
      run(
        'UPDATE files SET unpinned_ms = ? WHERE hash IN (SELECT file_hash FROM pins WHERE item_hash = ?)',
        change.atMs,
        change.itemHash,
      )
      run('DELETE FROM pins WHERE item_hash = ?', change.itemHash)
      break
    case 'fileTag':
      putTag(change.tag, change.value, run)
      break
    case 'uses':
      run('DELETE FROM uses WHERE item_hash = ?', change.itemHash)
      for (const ref of new Set(change.refs)) run('INSERT INTO uses VALUES (?, ?)', ref, change.itemHash)
      break
  }
}

function putMessage(stored: StoredMessage, run: Run): void {
  const { message } = stored
  const { errorCode, errorDetails, forgottenBy, attempts, retryAtMs, waitsFor } = stored
  const fields = contentFields(stored.content)
  run(
    'INSERT OR REPLACE INTO messages VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)',
    message.item_hash,
    message.type,
    message.chain,
    message.sender,
    message.channel,
    message.item_type,
    message.item_content ?? null,
    // A forgotten message keeps its owner; its text is gone. Otherwise inline content is the text itself.
    message.item_content === undefined ? JSON.stringify(stored.content) : null,
    message.signature,
    message.time,
    stored.status,
    Math.round(stored.receptionTimeMs),
    stored.sizeBytes,
    fields.owner ?? null,
    fields.type ?? null,
    fields.key ?? null,
    fields.ref ?? null,
    fields.hash ?? null,
    fields.paymentType ?? null,
    JSON.stringify({ errorCode, errorDetails, forgottenBy, attempts, retryAtMs, waitsFor }),
  )
  run('DELETE FROM message_tags WHERE item_hash = ?', message.item_hash)
  for (const tag of fields.tags) run('INSERT INTO message_tags VALUES (?, ?)', tag, message.item_hash)
}

function putAggregate(owner: string, key: string, state: AggregateState | undefined, run: Run): void {
  run('DELETE FROM aggregates WHERE owner = ? AND key = ?', owner, key)
  if (!state) return
  run(
    'INSERT INTO aggregates VALUES (?, ?, ?, ?, ?, ?, ?)',
    owner,
    key,
    JSON.stringify(state.content),
    state.createdTime,
    state.updatedTime,
    state.originalItemHash,
    state.lastItemHash,
  )
}

function putTag(tag: string, value: FileTag | undefined, run: Run): void {
  if (value)
    run('INSERT OR REPLACE INTO file_tags VALUES (?, ?, ?, ?)', tag, value.itemHash, value.fileHash, value.time)
  else run('DELETE FROM file_tags WHERE tag = ?', tag)
}

function questionSql(question: StoreQuestion): [string, ...SQLInputValue[]] {
  switch (question.kind) {
    case 'users':
      return ['SELECT item_hash AS answer FROM uses WHERE ref = ? ORDER BY 1', question.itemHash]
    case 'channels':
      return [
        `SELECT DISTINCT channel AS answer FROM messages
         WHERE channel IS NOT NULL AND status IN ('processed', 'removing') ORDER BY 1 LIMIT ?`,
        question.limit,
      ]
    case 'unpinned':
      return [
        `SELECT hash AS answer FROM files WHERE unpinned_ms < ? AND length(hash) = 64
         AND NOT EXISTS (SELECT 1 FROM pins WHERE file_hash = hash) ORDER BY unpinned_ms LIMIT ?`,
        question.beforeMs,
        question.limit,
      ]
  }
}

function toStored(row: Row): StoredMessage {
  const message: SignedMessage = {
    chain: String(row.chain),
    sender: String(row.sender),
    type: row.type as MessageType,
    item_hash: String(row.item_hash),
    signature: String(row.signature),
    item_type: row.item_type as ItemType,
    ...(row.item_content === null ? {} : { item_content: String(row.item_content) }),
    time: Number(row.time),
    channel: row.channel === null ? null : String(row.channel),
  }
  return {
    message,
    content: JSON.parse(String(row.item_content ?? row.content)),
    status: row.status as StoredMessage['status'],
    receptionTimeMs: Number(row.reception_ms),
    sizeBytes: Number(row.size),
    ...JSON.parse(String(row.extra)),
  }
}

function toAggregate(row: Row): AggregateState {
  return {
    content: JSON.parse(String(row.content)),
    createdTime: Number(row.created),
    updatedTime: Number(row.updated),
    originalItemHash: String(row.original_hash),
    lastItemHash: String(row.last_hash),
  }
}
