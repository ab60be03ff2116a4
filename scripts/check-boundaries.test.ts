/**
 * Shows that the import-direction check bites: plants one violation of every kind in a copy of the tree and expects
 * dependency-cruiser to report each under its rule's name, and a legal twin of each not at all.
 */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

interface Plant {
  readonly title: string;
  readonly file: string;
  readonly text: string;
  /** The rules that must report the file; [] = the import is legal. */
  readonly rules: readonly string[];
}

const plants: readonly Plant[] = [
  {
    title: 'an upward import',
    file: 'packages/raft/src/planted-upward.ts',
    text: "import { kv } from '../../shard/src/protocol/index.ts';\nexport const planted: unknown = kv;\n",
    rules: ['floor-raft'],
  },
  {
    title: 'an upward import that is only a type',
    file: 'packages/base/src/planted-type.ts',
    text: "import type { Router } from '../../router/src/index.ts';\nexport type Planted = Router;\n",
    rules: ['floor-base'],
  },
  {
    title: 'an upward re-export',
    file: 'packages/sql/src/planted-export.ts',
    text: "export * from '../../client/src/index.ts';\n",
    rules: ['floor-sql'],
  },
  {
    title: 'a dynamic upward import',
    file: 'packages/router/src/planted-dynamic.ts',
    text: "export const planted = (): Promise<unknown> => import('../../gateway/src/index.ts');\n",
    rules: ['floor-router'],
  },
  {
    title: 'the code of stores, loaded with the client',
    file: 'packages/client/src/planted-early.ts',
    text: "export { openEmbeddedCluster } from '@flotilla/embedded';\n",
    rules: ['stores-are-loaded-late'],
  },
  {
    title: 'the code of stores, loaded by the client when it is asked for',
    file: 'packages/client/src/planted-late.ts',
    text: "export const planted = (): Promise<unknown> => import('@flotilla/embedded');\n",
    rules: [],
  },
  {
    title: 'a query builder in the client',
    file: 'packages/client/src/planted-kysely.ts',
    text: "import { sql } from '../../kysely/node_modules/kysely/dist/index.js';\nexport const planted: unknown = sql;\n",
    rules: ['room-of-kysely'],
  },
  {
    title: 'storage by way of the router (only ./protocol is open to it)',
    file: 'packages/router/src/planted-storage.ts',
    text: "import * as shard from '@flotilla/shard';\nexport const planted: unknown = shard;\n",
    rules: ['floor-router'],
  },
  {
    title: 'a deep import past the door, by relative path',
    file: 'packages/raft/src/planted-deep.ts',
    text: "import { assert } from '../../base/src/assert.ts';\nexport const planted: unknown = assert;\n",
    rules: ['floor-raft'],
  },
  {
    title: 'a deep import past the door, by package name',
    file: 'packages/shard/src/planted-deep-name.ts',
    text: "import { assert } from '@flotilla/base/src/assert.ts';\nexport const planted: unknown = assert;\n",
    rules: ['resolvable'],
  },
  {
    title: 'generated code of another package',
    file: 'packages/cli/src/planted-gen.ts',
    text: "import * as gen from '../../shard/gen/kv.js';\nexport const planted: unknown = gen;\n",
    rules: ['floor-cli'],
  },
  {
    title: 'a cycle between two files',
    file: 'packages/gateway/src/planted-cycle-a.ts', // the cycle is reported once, at its first file
    text: "import { b } from './planted-cycle-b.ts';\nexport const a: () => unknown = () => b;\n",
    rules: ['no-cycle'],
  },
  {
    title: 'LevelDB outside its room',
    file: 'packages/shard/src/planted-level.ts',
    text: "import { ClassicLevel } from 'classic-level';\nexport const planted: unknown = ClassicLevel;\n",
    rules: ['room-of-classic-level'],
  },
  {
    title: 'NATS outside its room',
    file: 'packages/router/src/planted-nats.ts',
    text: "import * as nats from '@nats-io/transport-node';\nexport const planted: unknown = nats;\n",
    rules: ['room-of-nats'],
  },
  {
    title: 'a library of the command line in a lower package',
    file: 'packages/base/src/planted-pino.ts',
    text: "import { pino } from '../../cli/node_modules/pino/pino.js';\nexport const planted: unknown = pino;\n",
    rules: ['room-of-cli-libraries'],
  },
  {
    title: 'node:* in the consensus core',
    file: 'packages/raft/src/core/planted-node.ts',
    text: "import { createHash } from 'node:crypto';\nexport const planted: unknown = createHash;\n",
    rules: ['raft-core-is-pure'],
  },
  {
    title: 'the driver in the consensus core',
    file: 'packages/raft/src/core/planted-driver.ts',
    text: "import type { MultiRaft } from '../driver/multi-raft.ts';\nexport type Planted = MultiRaft;\n",
    rules: ['raft-core-is-pure'],
  },
  {
    title: 'files without the Disk',
    file: 'packages/shard/src/planted-files.ts',
    text: "import { readFileSync } from 'node:fs';\nexport const planted: unknown = readFileSync;\n",
    rules: ['files-behind-disk'],
  },
  {
    title: 'sockets without the Transport',
    file: 'packages/client/src/planted-sockets.ts',
    text: "import { connect } from 'node:net';\nexport const planted: unknown = connect;\n",
    rules: ['sockets-behind-transport'],
  },
  {
    title: 'testing code in product code',
    file: 'packages/shard/src/planted-testing.ts',
    text: "import { ManualClock } from '@flotilla/base/testing';\nexport const planted: unknown = ManualClock;\n",
    rules: ['floor-shard', 'no-testing-in-product'],
  },
  {
    title: 'a library that the package does not declare',
    file: 'packages/client/src/planted-undeclared.ts',
    text: "import * as pg from 'pg';\nexport const planted: unknown = pg;\n",
    rules: ['declared-dependencies', 'no-testing-in-product'],
  },
  {
    title: 'a test that reaches upwards',
    file: 'packages/sql/src/planted-upward.test.ts',
    text: "import * as router from '../../router/src/index.ts';\nexport const planted: unknown = router;\n",
    rules: ['floor-sql-tests'],
  },
  {
    title: 'product code that imports a workshop',
    file: 'packages/cli/src/planted-workshop.ts',
    text: "import { x } from '../../bench/src/index.ts';\nexport const planted: unknown = x;\n",
    rules: ['floor-cli'],
  },
  {
    title: 'a workshop that goes behind a door',
    file: 'packages/bench/src/planted-deep.ts',
    text: "import { assert } from '../../base/src/assert.ts';\nexport const planted: unknown = assert;\n",
    rules: ['doors-for-bench'],
  },
  {
    title: 'legal: a workshop with testing doors',
    file: 'packages/bench/src/planted-legal.ts',
    text: "import { ManualClock } from '../../base/src/testing/index.ts';\nexport const planted: unknown = ManualClock;\n",
    rules: [],
  },
  {
    title: 'legal: the doors of the floors below',
    file: 'packages/router/src/planted-legal.ts',
    text: "import { assert } from '@flotilla/base';\nimport { kv } from '@flotilla/shard/protocol';\nexport const planted: unknown = [assert, kv];\n",
    rules: [],
  },
  {
    title: 'legal: a test with the testing doors of any floor below',
    file: 'packages/client/src/planted-legal.test.ts',
    text: "import { ManualClock } from '@flotilla/base/testing';\nimport * as shard from '../../shard/src/index.ts';\nexport const planted: unknown = [ManualClock, shard];\n",
    rules: [],
  },
];

interface Violation {
  readonly from: string;
  readonly rule: { readonly name: string };
}

/** Files that plants need and that break no rule by themselves. */
const companions: readonly { readonly file: string; readonly text: string }[] = [
  {
    file: 'packages/gateway/src/planted-cycle-b.ts',
    text: "import { a } from './planted-cycle-a.ts';\nexport const b: () => unknown = () => a;\n",
  },
  { file: 'packages/bench/src/index.ts', text: 'export const x = 1;\n' },
];

describe('import directions', () => {
  const copy = mkdtempSync(join(tmpdir(), 'flotilla-boundaries-'));
  let violations: readonly Violation[] = [];

  beforeAll(() => {
    for (const name of readdirSync(join(root, 'packages'))) {
      for (const part of ['package.json', 'src', 'gen', 'node_modules']) {
        const from = join(root, 'packages', name, part);
        if (!existsSync(from)) continue;
        cpSync(from, join(copy, 'packages', name, part), {
          recursive: true,
          verbatimSymlinks: true,
        });
      }
    }
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
    cpSync(join(root, '.dependency-cruiser.cjs'), join(copy, '.dependency-cruiser.cjs'));
    cpSync(join(root, 'package.json'), join(copy, 'package.json'));
    for (const plant of [...plants, ...companions]) {
      mkdirSync(dirname(join(copy, plant.file)), { recursive: true });
      writeFileSync(join(copy, plant.file), plant.text);
    }
    const run = spawnSync(
      process.execPath,
      [
        join(root, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs'),
        ...['--config', '.dependency-cruiser.cjs', '--output-type', 'json', 'packages'],
      ],
      { cwd: copy, encoding: 'utf8', maxBuffer: 1 << 28 },
    );
    const result: unknown = JSON.parse(run.stdout);
    violations = (result as { summary: { violations: Violation[] } }).summary.violations;
  });

  afterAll(() => {
    rmSync(copy, { recursive: true, force: true });
  });

  it.each(plants)('$title', ({ file, rules }) => {
    const reported = new Set(violations.filter((v) => v.from === file).map((v) => v.rule.name));
    expect([...reported].sort()).toEqual([...rules].sort());
  });

  it('fails the command, not only the report', () => {
    const run = spawnSync(
      process.execPath,
      [
        join(root, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs'),
        ...['--config', '.dependency-cruiser.cjs', '--output-type', 'err', 'packages/raft'],
      ],
      { cwd: copy, encoding: 'utf8' },
    );
    expect(run.status).not.toBe(0);
  });
});
