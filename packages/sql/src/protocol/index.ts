/** What SQL needs of the layer below, and nothing of SQL: for those who make transactions and run no statements. */
export * from '../kv-transaction.ts';
