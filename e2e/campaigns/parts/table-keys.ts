/** Keys of rows, for cutting a table into ranges where a campaign wants it cut. */
import { concatBytes, KeyWriter, tablePrefix } from '@flotilla/base';
import type { Flotilla } from '@flotilla/client';
import type { Router } from '@flotilla/router';
import { eventually } from '../../harness/eventually.ts';

/**
 * The key of the row with this integer primary key: 10 ‖ storage id ‖ primary index ‖ key, as packages/sql/README.md has
 * it. A wrong key would cut elsewhere, which campaigns notice by what `lookup` says of rows.
 */
export async function rowKeysOf(
  client: Flotilla,
  table: string,
): Promise<(id: number) => Uint8Array> {
  const { rows } = await client.sql<{ id: bigint }>`
    SELECT relfilenode::int8 AS id FROM pg_class WHERE relname = ${table}`;
  const storageId = rows[0]?.id;
  if (storageId === undefined) throw new Error(`there is no table ${table}`);
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(Number(storageId));
  return (id) =>
    new KeyWriter().begin(concatBytes(tablePrefix, prefix)).integer(0).integer(id).finish();
}

/** Cuts at each of these keys, again while a range cannot be cut just then. */
export async function cutAt(router: Router, keys: readonly Uint8Array[]): Promise<void> {
  for (const key of keys)
    await eventually('the range is cut', { timeoutMs: 60_000 }, async () => {
      await router.split(key, { timeoutMs: 20_000 });
      return true;
    });
}
