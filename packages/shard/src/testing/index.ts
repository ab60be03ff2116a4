/** In-memory twin of the engine and its conformance suite, for this package and those above. */
export { MemoryEngine } from './memory-engine.ts';
