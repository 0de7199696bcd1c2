/** Version of the tables below, kept in SQLite's `user_version`. A change adds a step to `migrations`. */
export const migrations: readonly string[] = [
  `
  CREATE TABLE messages (
    item_hash TEXT PRIMARY KEY, type TEXT NOT NULL, chain TEXT NOT NULL, sender TEXT NOT NULL, channel TEXT,
    item_type TEXT NOT NULL, item_content TEXT, content TEXT, signature TEXT NOT NULL, time REAL NOT NULL,
    status TEXT NOT NULL, reception_ms INTEGER NOT NULL, size INTEGER NOT NULL,
    owner TEXT, content_type TEXT, content_key TEXT, content_ref TEXT, content_hash TEXT, payment_type TEXT,
    -- What only some statuses have (error, forgotten_by, retry), as JSON.
    extra TEXT
  ) WITHOUT ROWID;
  CREATE INDEX messages_time ON messages (status, time, item_hash);
  CREATE INDEX messages_sender ON messages (sender, time);
  CREATE INDEX messages_owner ON messages (owner, type, content_key, time);
  CREATE INDEX messages_channel ON messages (channel, time);
  CREATE INDEX messages_ref ON messages (content_ref, time);
  CREATE INDEX messages_content_hash ON messages (content_hash);
  CREATE INDEX messages_content_type ON messages (content_type, time);
  CREATE TABLE message_tags (tag TEXT NOT NULL, item_hash TEXT NOT NULL, PRIMARY KEY (tag, item_hash)) WITHOUT ROWID;
  CREATE INDEX message_tags_hash ON message_tags (item_hash);
  CREATE TABLE aggregates (
    owner TEXT NOT NULL, key TEXT NOT NULL, content TEXT NOT NULL, created REAL NOT NULL, updated REAL NOT NULL,
    original_hash TEXT NOT NULL, last_hash TEXT NOT NULL, PRIMARY KEY (owner, key)
  ) WITHOUT ROWID;
  CREATE TABLE files (hash TEXT PRIMARY KEY, size INTEGER NOT NULL, unpinned_ms INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE pins (file_hash TEXT NOT NULL, item_hash TEXT NOT NULL, PRIMARY KEY (file_hash, item_hash)) WITHOUT ROWID;
  CREATE INDEX pins_item ON pins (item_hash);
  CREATE TABLE file_tags (tag TEXT PRIMARY KEY, item_hash TEXT NOT NULL, file_hash TEXT NOT NULL, time REAL NOT NULL) WITHOUT ROWID;
  CREATE TABLE uses (ref TEXT NOT NULL, item_hash TEXT NOT NULL, PRIMARY KEY (ref, item_hash)) WITHOUT ROWID;
  CREATE INDEX uses_item ON uses (item_hash);
  `,
]
