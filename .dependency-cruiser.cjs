/**
 * Who may import whom. The floors of ARCHITECTURE.md as rules that a machine checks: `pnpm run boundaries` fails on an
 * upward import, a cycle, a deep import past a package's doors, or a library outside its room. Every rule is shown to
 * bite by `scripts/check-boundaries.test.ts`. Parsed with swc, because TypeScript 7 no longer has the API that
 * dependency-cruiser's own TypeScript parser needs; `import type` counts like any other import.
 */

/** What product code of each package may import. Order: from the ground up. */
const floors = {
  base: [],
  raft: ['base'],
  shard: ['base', 'raft'],
  router: ['base', 'shard/protocol'],
  sql: ['base'],
  embedded: ['base', 'router', 'shard'],
  client: ['base', 'router', 'sql', 'sql/protocol', 'embedded'],
  kysely: ['client'],
  drizzle: ['client'],
  gateway: ['base', 'client', 'sql'],
  cli: ['base', 'raft', 'shard', 'router', 'sql', 'client', 'gateway'],
};

/** Private packages that see everything, testing doors included, and that nobody imports. */
const workshops = ['sim', 'bench', 'examples'];

const isTest = '(\\.test|\\.prop|\\.suite|-suite)\\.ts$|/src/testing/|\\.test-[a-z-]+\\.ts$';
const testOrTesting = `(${isTest})`;

/** Everything below a package, however far: what its tests may use. */
function below(name) {
  const seen = new Set();
  const visit = (door) => {
    const target = door.split('/')[0];
    if (seen.has(target)) return;
    seen.add(target);
    for (const next of floors[target]) visit(next);
  };
  for (const door of floors[name]) visit(door);
  return [...seen];
}

/** `shard/protocol` -> the one file behind that door. */
function doorFile(door) {
  const [name, entry] = door.split('/');
  return `^packages/${name}/src/${entry === undefined ? '' : `${entry}/`}index\\.ts$`;
}

/** A regular expression for a library, as pnpm lays it out. */
function library(name) {
  return `(^|/)node_modules/${name.replace('/', '\\/')}(/|$)`;
}

const floorRules = Object.entries(floors).flatMap(([name, doors]) => [
  {
    name: `floor-${name}`,
    comment: `Product code of ${name} imports only: ${doors.join(', ') || 'nothing of the house'}.`,
    severity: 'error',
    from: { path: `^packages/${name}/src/`, pathNot: testOrTesting },
    to: {
      path: '^packages/',
      pathNot: [`^packages/${name}/`, ...doors.map(doorFile)],
    },
  },
  {
    name: `floor-${name}-tests`,
    comment: `Tests of ${name} may use any door of a package below it, './testing' included.`,
    severity: 'error',
    from: { path: `^packages/${name}/.*${testOrTesting}` },
    to: {
      path: '^packages/',
      pathNot: [
        `^packages/${name}/`,
        ...below(name).map((lower) => `^packages/${lower}/src/((protocol|testing)/)?index\\.ts$`),
      ],
    },
  },
]);

/** Workshops use doors like everybody else. */
const workshopRules = workshops.map((name) => ({
  name: `doors-for-${name}`,
  comment: `${name} may use any door of any package, and nothing behind the doors.`,
  severity: 'error',
  from: { path: `^packages/${name}/` },
  to: {
    path: '^packages/',
    pathNot: [
      `^packages/${name}/`,
      ...Object.keys(floors).map(
        (lower) => `^packages/${lower}/src/((protocol|testing)/)?index\\.ts$`,
      ),
    ],
  },
}));

/** Libraries that are known to one room only. */
const rooms = [
  // The benchmarks' minimal programs measure the libraries themselves.
  {
    name: 'classic-level',
    library: 'classic-level',
    room: '^packages/(shard/src/engine|bench/src/floors)/',
  },
  {
    name: 'nats',
    library: '@nats-io/[^/]+',
    room: '^packages/(router/src/nats|bench/src/floors)/',
  },
  { name: 'pg-gateway', library: 'pg-gateway', room: '^packages/gateway/src/' },
  { name: 'libpg-query', library: 'libpg-query', room: '^packages/sql/src/' },
  { name: 're2js', library: 're2js', room: '^packages/sql/src/functions/' },
  { name: 'pgsql-types', library: '@pgsql/types', room: '^packages/sql/src/' },
  { name: 'protobufjs', library: 'protobufjs', room: '^packages/[^/]+/gen/' },
  {
    name: 'cli-libraries',
    library: '(pino|pino-pretty|zod|yaml|picocolors)',
    room: '^packages/cli/',
  },
  { name: 'kysely', library: 'kysely', room: '^packages/(kysely|examples)/' },
  { name: 'drizzle', library: 'drizzle-orm', room: '^packages/(drizzle|examples)/' },
  { name: 'terminal', library: '(commander|cli-table3)', room: '^packages/(cli|bench)/' },
];

const roomRules = rooms.map(({ name, library: pattern, room }) => ({
  name: `room-of-${name}`,
  comment: `${pattern} is known to ${room} alone.`,
  severity: 'error',
  from: { path: '^packages/', pathNot: room },
  to: { path: library(pattern) },
}));

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-cycle',
      comment:
        'A cycle means that two files are one thing, or that something lies on the wrong floor.',
      severity: 'error',
      // An expression holds a query that holds expressions: binding and running them are mutually recursive. To be cut
      // where the recursion is handed over; until then cycles inside these rooms are not seen.
      from: { pathNot: '^packages/sql/src/(bind|execute|plan|functions|types)/' },
      to: { circular: true },
    },
    {
      name: 'resolvable',
      comment:
        'The import leads nowhere: not a dependency, or not a door of that package (deep import).',
      severity: 'error',
      from: { path: '^packages/' },
      to: { couldNotResolve: true, pathNot: ['/gen/'] },
    },
    ...floorRules,
    ...workshopRules,
    {
      name: 'stores-are-loaded-late',
      comment:
        'Whoever talks to a cluster must not load the code of stores: the client imports it when it is asked for.',
      severity: 'error',
      from: { path: '^packages/client/src/', pathNot: testOrTesting },
      to: { path: '^packages/embedded/', dynamic: false },
    },
    {
      name: 'no-testing-in-product',
      comment: 'In-memory twins and suites under src/testing are for tests.',
      severity: 'error',
      from: { path: `^packages/(${Object.keys(floors).join('|')})/src/`, pathNot: testOrTesting },
      to: { path: [testOrTesting, library('(vitest|fast-check|pg)')] },
    },
    {
      name: 'raft-core-is-pure',
      comment:
        'raft/src/core sees messages, the bytes of a configuration, and base, nothing else: no node:*, no driver, no log.',
      severity: 'error',
      from: { path: '^packages/raft/src/core/', pathNot: testOrTesting },
      to: {
        pathNot: [
          '^packages/raft/src/core/',
          '^packages/raft/src/messages\\.ts$',
          '^packages/raft/src/configuration-codec\\.ts$',
          '^packages/raft/src/limits\\.ts$',
          '^packages/base/src/index\\.ts$',
        ],
      },
    },
    {
      name: 'files-behind-disk',
      comment:
        'Files are reached through the Disk of base; LevelDB and the programs open their own.',
      severity: 'error',
      from: {
        path: '^packages/(base|raft|shard|router|embedded|sql|client|kysely|drizzle|gateway)/src/',
        pathNot: [testOrTesting, '^packages/base/src/node-', '^packages/shard/src/engine/'],
      },
      to: { dependencyTypes: ['core'], path: '^(node:)?fs(/|$)' },
    },
    {
      name: 'sockets-behind-transport',
      comment: 'Sockets belong to the gateway and to the NATS transport.',
      severity: 'error',
      from: {
        path: '^packages/(base|raft|shard|router|embedded|sql|client|kysely|drizzle)/src/',
        pathNot: [testOrTesting, '^packages/router/src/nats/'],
      },
      to: { dependencyTypes: ['core'], path: '^(node:)?(net|tls|http|https|http2|dgram|dns)(/|$)' },
    },
    ...roomRules,
    {
      name: 'declared-dependencies',
      comment: 'Product code imports only what its own package.json names under dependencies.',
      severity: 'error',
      from: { path: '^packages/[^/]+/src/', pathNot: testOrTesting },
      to: {
        dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'],
        // Types only; and what an adapter is made for, which its user brings (peerDependencies).
        pathNot: [library('@pgsql/types'), library('(kysely|drizzle-orm)')],
      },
    },
  ],
  options: {
    parser: 'swc',
    exclude: { path: ['^packages/[^/]+/(dist|testdata|proto)/'] },
    doNotFollow: { path: ['node_modules', '/gen/'] },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['flotilla-source', 'import', 'node', 'default', 'types'],
      extensions: ['.ts', '.js', '.mjs', '.cjs', '.d.ts', '.json'],
    },
  },
};
