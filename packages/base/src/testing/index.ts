/** In-memory twins and conformance suites of the ground floor's interfaces. For tests and the simulator. */

export * from './clock-suite.ts';
export * from './disk-suite.ts';
export * from './manual-clock.ts';
export * from './memory-disk.ts';
