/**
 * The roof. `startProcess` is the composition root: it wires one process (a store, a gateway or both) from the parts
 * below and a configuration. `loadConfig` makes that configuration; `runCommandLine` is the `flotilla` command.
 *
 * For programs of this house only: the library for users is `@flotilla/client`.
 *
 * Not built: reloading configuration, HTTP beyond metrics and health.
 */
export { runCommandLine } from './command-line.ts';
export { type ConfigSources, loadConfig } from './config/load-config.ts';
export type { ListenAddress, ProcessConfig, Role } from './config/settings.ts';
export type { ProcessParts, RunningProcess } from './process-parts.ts';
export { startProcess } from './start-process.ts';
export { UsageError } from './usage-error.ts';
