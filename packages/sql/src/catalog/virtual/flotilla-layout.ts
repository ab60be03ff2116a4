/** The tables of schema `flotilla`: name, oid, kind, columns with their types, as in catalog-layout.ts. Read by layout.ts. */
export const flotillaLayout: string = `
  contended_keys 15901 v
    store_id int4, range_id int8, key bytea, key_text text, schema_name text, table_name text,
    index_name text, waits int8, waited_ms int8, conflicts int8, last_at timestamptz
  databases 15909 v
    name text, replicas int4, split_bytes int8, lease_preference text
  dropped_storage 15908 v
    name text, start_key bytea, end_key bytea, start_text text, dropped_at timestamptz
  events 15902 v
    number int8, at timestamptz, kind text, message text, range_id int8, store_id int4
  locks 15903 v
    store_id int4, range_id int8, key bytea, key_text text, schema_name text, table_name text,
    index_name text, mode text, granted bool, transaction_id uuid, blocked_by _uuid,
    waiting_since timestamptz
  ranges 15904 v
    range_id int8, start_key bytea, end_key bytea, start_text text, end_text text, schema_name
    text, table_name text, index_name text, leaseholder int4, replicas _int4, learners _int4,
    lease text, lease_remaining_ms int4, term int8, generation int8, live_bytes int8,
    requests_per_second int8
  sessions 15905 v
    process_id int4, user_name text, database text, application_name text, client_address text,
    client_port int4, state text, started_at timestamptz, state_since timestamptz,
    transaction_started_at timestamptz, statement_started_at timestamptz, statement text
  stores 15906 v
    store_id int4, machine text, zone text, version text, state text, draining bool,
    decommissioning bool, replicas int4, leases int4, live_bytes int8, wal_bytes int8,
    capacity_bytes int8, used_bytes int8, requests_per_second int8, uptime_ms int8,
    clock_skew_ms float8, round_trip_ms float8, process_id int4, reported_at timestamptz
  transactions 15907 v
    transaction_id uuid, started_at timestamptz, locks int8, intents int8, waits bool, stores
    _int4, coordinator text
`;
