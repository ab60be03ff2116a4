/**
 * Settings of PostgreSQL that clients and tools set and ask for, and that change nothing of a statement's result: they steer a
 * planner, a storage or background work that are others here. Kept and shown as PostgreSQL shows them; used by settings.ts.
 */

export type HarmlessKind = 'bool' | 'number' | 'text';

export interface HarmlessSetting {
  readonly name: string;
  readonly kind: HarmlessKind;
  /** As SHOW prints it. */
  readonly initial: string;
  /** It describes the server. */
  readonly readOnly: boolean;
}

const bools = {
  on: `array_nulls enable_async_append enable_bitmapscan enable_gathermerge enable_hashagg enable_hashjoin
    enable_incremental_sort enable_indexonlyscan enable_indexscan enable_material enable_memoize enable_mergejoin
    enable_nestloop enable_parallel_append enable_parallel_hash enable_partition_pruning enable_seqscan enable_sort
    enable_tidscan escape_string_warning geqo jit jit_expressions jit_tuple_deforming parallel_leader_participation
    synchronize_seqscans track_activities track_counts`,
  off: `enable_partitionwise_aggregate enable_partitionwise_join exit_on_error log_duration log_executor_stats
    log_parser_stats log_planner_stats log_statement_stats quote_all_identifiers track_io_timing`,
};

const numbers = `client_connection_check_interval=0 commit_siblings=5 commit_delay=0 cpu_index_tuple_cost=0.005
  cpu_operator_cost=0.0025 cpu_tuple_cost=0.01 cursor_tuple_fraction=0.1 deadlock_timeout=1s default_statistics_target=100
  effective_cache_size=4GB effective_io_concurrency=1 from_collapse_limit=8 geqo_effort=5 geqo_generations=0
  geqo_pool_size=0 geqo_seed=0 geqo_selection_bias=2 geqo_threshold=12 gin_fuzzy_search_limit=0
  gin_pending_list_limit=4MB hash_mem_multiplier=2 jit_above_cost=100000 jit_inline_above_cost=500000
  jit_optimize_above_cost=500000 join_collapse_limit=8 log_min_duration_statement=-1 logical_decoding_work_mem=64MB
  maintenance_io_concurrency=10 maintenance_work_mem=64MB max_parallel_maintenance_workers=2 max_parallel_workers=8
  max_parallel_workers_per_gather=2 min_parallel_index_scan_size=512kB min_parallel_table_scan_size=8MB
  parallel_setup_cost=1000 parallel_tuple_cost=0.1 random_page_cost=4 recursive_worktable_factor=10 seq_page_cost=1
  tcp_keepalives_count=0 tcp_keepalives_idle=0 tcp_keepalives_interval=0 tcp_user_timeout=0 temp_buffers=8MB
  temp_file_limit=-1 vacuum_cost_delay=0 vacuum_cost_limit=200 vacuum_freeze_min_age=50000000
  vacuum_freeze_table_age=150000000 wal_skip_threshold=2MB`;

const texts = `constraint_exclusion=partition default_text_search_config=pg_catalog.english
  default_toast_compression=pglz force_parallel_mode=off log_min_error_statement=error log_min_messages=warning
  log_statement=none plan_cache_mode=auto stats_fetch_consistency=cache temp_tablespaces= timezone_abbreviations=Default
  track_functions=none xmlbinary=base64`;

const descriptions = `block_size=8192 data_checksums=on hot_standby=on listen_addresses=* log_timezone=UTC
  max_connections=5000 max_function_args=100 max_locks_per_transaction=64 max_prepared_transactions=0 port=5432
  segment_size=1GB ssl=off wal_block_size=8192 wal_level=replica wal_segment_size=16MB`;

function words(text: string): string[] {
  return text.split(/\s+/);
}

function pairs(text: string, kind: HarmlessKind, readOnly = false): HarmlessSetting[] {
  return words(text).map((pair) => {
    const at = pair.indexOf('=');
    return { name: pair.slice(0, at), initial: pair.slice(at + 1), kind, readOnly };
  });
}

export const harmlessSettings: readonly HarmlessSetting[] = [
  ...(['on', 'off'] as const).flatMap((initial) =>
    words(bools[initial]).map(
      (name): HarmlessSetting => ({ name, initial, kind: 'bool', readOnly: false }),
    ),
  ),
  ...pairs(numbers, 'number'),
  ...pairs(texts, 'text'),
  ...pairs(descriptions, 'text', true),
];
