/** All ordinary functions by name, and the names that PostgreSQL has beside them. */

import { catalogFunctions } from './catalog.ts';
import { mathsFunctions } from './maths.ts';
import { sequenceFunctions } from './sequences.ts';
import { indexByName, type Signature } from './signature.ts';
import { stringFunctions } from './strings.ts';
import { systemFunctions } from './system.ts';

export const scalarFunctions: ReadonlyMap<string, readonly Signature[]> = indexByName([
  ...mathsFunctions,
  ...stringFunctions,
  ...systemFunctions,
  ...sequenceFunctions,
  ...catalogFunctions,
]);

/** PostgreSQL's other functions that people and tools call: refused by name, as not built, instead of as unknown. */
export const foreignFunctions: ReadonlySet<string> = new Set(
  `acos age array_length array_position array_to_string asin atan atan2 cbrt cos cot current_query date_bin
  date_part date_trunc degrees div encode decode erf exp extract factorial format gcd gen_random_uuid get_byte
  generate_subscripts initcap isfinite json_build_array json_build_object jsonb_build_object justify_days
  justify_hours lcm ln log log10 make_date make_interval make_timestamp make_timestamptz normalize num_nonnulls
  num_nulls overlay pg_advisory_lock pg_advisory_unlock pg_advisory_xact_lock pg_backend_pid pg_cancel_backend
  pg_column_size pg_postmaster_start_time pg_relation_size pg_sleep pg_table_size pg_terminate_backend
  pg_total_relation_size quote_ident quote_literal quote_nullable radians random regexp_count regexp_instr
  regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table
  regexp_substr row_to_json scale setseed set_config sha224 sha256 sha384 sha512 sin sind string_to_array
  string_to_table tan timeofday timezone to_char to_date to_json to_jsonb to_number to_timestamp to_tsquery
  to_tsvector translate trim_array trim_scale txid_current unistr unnest uuid_generate_v4 width_bucket xpath
  is_normalized parse_ident min_scale cosh sinh tanh`.split(/\s+/),
);
