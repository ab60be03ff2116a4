/** see README */
export * from './failure.ts';
export * from './run-seed.ts';
