/** Statements whose answers were recorded from PostgreSQL 15 (testdata/record.mjs) get the same answers here. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SystemClock } from '@flotilla/base';
import { beforeAll, describe, expect, it } from 'vitest';
import { createSqlEngine } from './engine.ts';
import type { Notice, SqlSession } from './session-api.ts';
import { MemoryKvDatabase } from './testing/memory-kv-database.ts';
import { answerSqlCase, readSqlCases } from './testing/sql-cases.ts';

const directory = join(import.meta.dirname, '../testdata/postgres');

for (const file of readdirSync(directory).sort()) {
  describe(file, () => {
    const notices: Notice[] = [];
    let session: SqlSession;

    beforeAll(async () => {
      // Small batches, so that every operator meets the seam between two.
      const database = new MemoryKvDatabase({ batchPairs: 2 });
      const engine = await createSqlEngine({ database, clock: new SystemClock() });
      session = engine.createSession({
        user: 'postgres',
        database: 'postgres',
        applicationName: 'record',
        events: { onNotice: (notice) => notices.push(notice) },
      });
    });

    for (const one of readSqlCases(readFileSync(join(directory, file), 'utf8')))
      it(one.sql, async () => {
        expect(await answerSqlCase(session, one, notices)).toBe(one.expected);
      });
  });
}
