/**
 * The whole cluster in one process on virtual time, to hunt bugs: real stores (log, consensus, state machine) on disks
 * and engines that lose what real ones may lose, real routers as clients, a network that does its worst. Everything
 * follows from a seed, so that a failure is one command to repeat.
 *
 *   world/     virtual time, hosts with clocks of their own that stop and die, the trace and its hash
 *   swarm.ts   seed -> sizes, timings, limits and which faults may happen;  faults.ts   the schedule, as data
 *   cluster/   machines, clients, network; nemesis.ts inflicts faults, operator.ts changes members
 *   workload/  what clients do and what they were told; transactions/ over the real coordinator
 *   check/     one file per property, looked at from above while it runs, and the judgement of histories at the end
 *   campaign/  many seeds on several processes, rare paths counted; nightly.ts
 *   mutations/ bugs that are planted in a copy of the tree, and the campaign that hunts them
 *   shrink.ts  fewer faults, the same failure;  main.ts   the command line
 *
 * Not built: SQL as a workload, reads of the past and deleted spans in transactions, wiped or swapped disks, rot in more
 * than one store, loss of a majority's disks, a choice of the order of events that are due at the same time.
 */
export * from './failure.ts';
export type { Fault } from './faults.ts';
export { runSeed, type SeedOptions, type SeedResult } from './run-seed.ts';
export { minimize, type Shrunk, shrink } from './shrink.ts';
export { type FaultClass, faultClasses, type Swarm, swarmOf, type Weights } from './swarm.ts';
