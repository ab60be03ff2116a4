/** Every bound of the SQL layer: unit, reason, and what a user sees when it is met. */

/** Longest source text of one parse. Unit: UTF-16 units. The parser's heap grows by about 100 bytes for each. 54001. */
export const statementCharactersMax: number = 16 * 1024 * 1024;
/** Deepest nesting of an expression. Bounds the recursion of binder and executor to half of V8's usual stack. 54001. */
export const expressionDepthMax: number = 500;
/** Source texts whose parse is kept. */
export const parseCacheEntries: number = 1_000;
/** Longer texts are parsed anew each time: bulk loads would push everything else out. Unit: UTF-16 units. */
export const parseCacheTextMax: number = 8 * 1024;
/** Plans kept for one source text: one for each set of declared parameter types and time zone. */
export const plansPerStatement: number = 4;
/** Highest parameter number, as the wire protocol has it. 54000. */
export const parametersMax: number = 65_535;
/** Columns of a table, as in PostgreSQL. 54011. */
export const tableColumnsMax: number = 1_600;
/** Columns of a primary key, as in PostgreSQL. 54011. */
export const keyColumnsMax: number = 32;
/** Target list entries, as in PostgreSQL. 54011. */
export const targetColumnsMax: number = 1_664;
/** Grouping sets of one GROUP BY, as in PostgreSQL. 54001. */
export const groupingSetsMax: number = 4_096;
/** What all operators of one statement may hold in memory together: for sorting, grouping, hash joins, windows, named
 *  queries and results of subqueries. Sorts, groups, hash joins, DISTINCT and named queries go on in temporary files; what else
 *  is too much is 53200. Unit: bytes, estimated. */
export const workMemoryBytes: number = 64 * 1024 * 1024;
/** What all temporary files of a process may hold together. Unit: bytes. 53400. */
export const spillBytesMax: number = 64 * 1024 ** 3;
/** What one statement may write. It is one atomic message to the store. Unit: bytes, estimated. 53200. */
export const statementWriteBytes: number = 64 * 1024 * 1024;
/** Bytes of names, as in PostgreSQL; longer ones are cut by the grammar. */
export const nameBytesMax: number = 63;
/** Longest stretch of work between two turns of the event loop. Unit: ms. */
export const turnBudgetMs: number = 4;
/** Results of correlated subqueries that are kept for rows with the same arguments. */
export const subqueryResultsMax: number = 10_000;
/** Rows that an operator hands on at once. */
export const batchRows: number = 512;
/** Key points or spans that one predicate may expand to before the planner falls back to a wider span. */
export const accessPointsMax: number = 10_000;
/** Runs of one statement that met a conflict before it fails with 40001. */
export const conflictRunsMax: number = 24;
/** First and longest pause between such runs, before jitter. Unit: ms. */
export const conflictBackoffMs: { readonly first: number; readonly most: number } = {
  first: 1,
  most: 100,
};
/** Prepared statements of one session, by name. 53400. */
export const namedStatementsMax: number = 10_000;
/** What their source texts may hold together. Unit: UTF-16 units. 53400. */
export const namedStatementBytesMax: number = 128 * 1024 * 1024;
/** A process that holds advisory locks says so often that it lives; it gives them up for lost when it has not been able to for
 *  `lostMs`, and others take it for dead when they have seen nothing new of it for `deadMs`, which is more. Unit: ms. */
export const presence: {
  readonly beatMs: number;
  readonly lostMs: number;
  readonly deadMs: number;
} = {
  beatMs: 2_000,
  lostMs: 8_000,
  deadMs: 12_000,
};
/** Pauses between two looks at an advisory lock that another session has, and before one that could not be given back is
 *  given back again. Unit: ms. */
export const advisoryWaitMs: {
  readonly first: number;
  readonly most: number;
  readonly releaseAgain: number;
} = { first: 10, most: 150, releaseAgain: 500 };
/** Payload of a notification, as in PostgreSQL: less than this. Unit: bytes. 22023. */
export const notificationPayloadBytesMax: number = 8_000;
/** LISTENs, UNLISTENs and NOTIFYs of one transaction. 53400. */
export const notificationsPendingMax: number = 10_000;
/** Numbers of processes that have sessions (ten bits of a process id), how long a row of one is good for and how often it is
 *  renewed; how long a process is waited for that is asked for its sessions, and how many it lists in one message. Unit: ms. */
export const sessionHosts: {
  readonly max: number;
  readonly lastsMs: number;
  readonly renewMs: number;
  readonly answerMs: number;
  readonly sessionsPerMessage: number;
} = { max: 1_024, lastsMs: 300_000, renewMs: 60_000, answerMs: 500, sessionsPerMessage: 25 };
/** A row of binary COPY is held in memory whole. Unit: bytes. 54000. */
export const copyRowBytesMax: number = 64 * 1024 * 1024;
/** Cursors of one session. 53400. */
export const cursorsMax: number = 1_000;
/** Keys that one statement of a block inserts under locks of their own. More are checked without. */
export const uniqueLocksMax: number = 1_000;
/** Checks of deferred constraints that one transaction may owe: more rows than it can write. 53200. */
export const pendingChecksMax: number = 1_000_000;
/** Runs of one statement whose plan went stale under it. */
export const staleRunsMax: number = 10;
/** Reads of the whole catalog that a change of it overtook, in a row. */
export const snapshotRunsMax: number = 20;
/** Object ids that a process takes at once; those that it does not use are lost. */
export const idsPerBlock: number = 16;
/** Values of a sequence that a process takes at once, unless its CACHE is larger. */
export const sequenceBlock: number = 32;
/** Result of generate_series and the like is bounded by time and memory alone; strings are not. Unit: UTF-16 units. */
export const stringCharactersMax: number = 64 * 1024 * 1024;
/** Rows that COPY FROM writes at once: enough that a statement's own cost is lost among them. */
export const copyBatchRows: number = 256;
/** Values that COPY FROM hands to one INSERT: wide tables get fewer rows. */
export const copyBatchParameters: number = 8_192;
/** Spans of one scan whose first results are asked for at once. */
export const spansAhead: number = 32;

/** Rounds of SCRAM for a new password: PostgreSQL's number. */
export const scramIterations = 4096;
/** Length of a password, characters: PostgreSQL's bound for what clients send. */
export const passwordLengthMax = 1024;
/** Rows of one index scan that are fetched by their keys at once: so many first, which shows how large they are, and at most.
 *  As many as some ranges take in one request each. */
export const fetchKeys: { readonly first: number; readonly most: number } = {
  first: 64,
  most: 2_048,
};
/** What the rows of one such batch should hold, by what those before it held. Unit: bytes. */
export const fetchBytes: number = 1024 * 1024;
/** Such batches under way at once. */
export const fetchAhead: number = 4;
/** Fewer rows than this are fetched as they are: a program costs as much as some of them. */
export const keysWorthProgram: number = 8;
/** Rows of one side whose partners are looked up at once, where each may have many. */
export const lookupRows: number = 128;
/** Rows that ANALYZE keeps of a table to describe its columns. */
export const statisticsSampleRows: number = 20_000;
/** Common values, and intervals of a histogram, that are kept of a column: PostgreSQL's default_statistics_target. */
export const statisticsTargets: number = 100;
/** Columns with wider values are described by their width alone. Unit: bytes, on average. */
export const statisticsWidthMax: number = 1_024;
/** Relations of one FROM whose order is found by trying all of them. */
export const joinOrderMax: number = 8;

/**
 * Leases on the catalog's version. Who changes the catalog waits for those of dead processes, so they are short; and a commit
 * that waits for others must end within one, so they are not shorter. Unit: ms.
 */
export const catalogLease = {
  /** From when it was asked for. */
  lastsMs: 4_000,
  /** It is asked for again when it is so old, */
  renewMs: 1_000,
  /** unless no statement has needed it for so long. */
  idleMs: 10_000,
  /** After one that was not to be had. */
  retryMs: 50,
  /** So often for whoever was slow, and waits for it, where other processes write the row at the same time. */
  reachRunsMax: 20,
  /** How often its holder is asked to give it up. */
  askMs: 200,
  /** How far clocks of processes may be apart: what transactions allow for. */
  offsetMs: 250,
} as const;

/** DROP DATABASE … WITH (FORCE): how often it looks whether the sessions that it ends have ended, and for how long. Unit: ms. */
export const databaseEndMs = { ask: 20, max: 5_000 } as const;

/** Rows that were found to be there, which a new foreign key refers to, and are not looked for again. */
export const referencesKnownMax: number = 100_000;
/** What a statement that only adds rows to storage that its transaction alone knows of keeps of them before it hands them on. Unit: bytes, estimated. */
export const pourBytes: number = 1024 * 1024;
/** What a transaction keeps in memory of its writes to storage that it alone knows of. Unit: bytes. */
export const loadFlushBytes: number = 4 * 1024 * 1024;
/** How long ANALYZE reads one snapshot of a table before it takes a later one: as history is kept for so long anyway. Unit: ms. */
export const sampleSnapshotMs: number = 15_000;
/** How often each process looks for dropped storage that another one has not cleared, and how long it goes on clearing when it is
 *  closed. Unit: ms. */
export const droppedSweepMs: number = 60_000;
export const droppedCloseMs: number = 1_000;
/** How often each process looks for storage that was filled by a transaction which is gone, and how long after that was
 *  deleted it is looked at once more, for what came late. Unit: ms. */
export const loadSweep: { readonly everyMs: number; readonly lateMs: number } = {
  everyMs: 60_000,
  lateMs: 15 * 60_000,
};
