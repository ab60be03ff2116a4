export * from './kv-transaction.ts';
export * from './session-api.ts';
export * from './sql-error.ts';
