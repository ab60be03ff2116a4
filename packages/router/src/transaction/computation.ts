/** Keys whose new version is computed: on the wire they are conditions, which a store that does not know them refuses. */
import { kv } from '@flotilla/shard/protocol';
import { checkKey } from '../arguments.ts';
import type { Computation } from './transaction-api.ts';

export function wireComputation({
  key,
  program,
}: Computation): Parameters<typeof kv.Condition.encode>[0] {
  return { key, kind: kv.ConditionKind.COMPUTED, program };
}

/** @returns their bytes. Throws INVALID_ARGUMENT, TOO_LARGE for keys that are none. */
export function computationBytes(computations: readonly Computation[]): number {
  let bytes = 0;
  for (const { key, program } of computations) {
    checkKey(key);
    bytes += key.length + program.length + 24;
  }
  return bytes;
}
