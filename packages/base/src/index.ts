/**
 * The ground floor: ids, assertions, errors, byte and key order, the hybrid logical clock, and the interfaces behind
 * which clocks, chance, networks and disks hide, each with its real twin. In-memory twins and conformance suites are
 * in `@flotilla/base/testing`. Imports nothing of the house.
 */
export * from './assert.ts';
export * from './buckets.ts';
export * from './bytes.ts';
export * from './clock.ts';
export * from './closing-steps.ts';
export * from './crc32c.ts';
export * from './disk.ts';
export * from './errors.ts';
export * from './fatal.ts';
export * from './frame.ts';
export * from './frame-reader.ts';
export * from './hlc.ts';
export * from './ids.ts';
export * from './key-encoding.ts';
export * from './key-space.ts';
export * from './key-text.ts';
export * from './local-transport.ts';
export * from './logger.ts';
export * from './memory-transport.ts';
export * from './node-disk.ts';
export * from './number-table.ts';
export * from './outbox.ts';
export * from './prng.ts';
export * from './probe.ts';
export * from './protobuf-integers.ts';
export * from './span.ts';
export * from './system-clock.ts';
export * from './transport.ts';
export * from './turn-end.ts';
export * from './volatile-disk.ts';
export * from './wire-format.ts';
