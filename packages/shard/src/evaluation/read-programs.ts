/**
 * What a scan or a get may carry along to be done with its rows where they are: a program, which is opaque bytes here. Whoever
 * puts a process together hands in what understands them; a store without that refuses programs, and is asked for rows.
 * Programs see pairs of one snapshot and nothing else, and cannot write.
 */

export interface ReadPrograms {
  /** Undefined: no program that is known here. Never throws. */
  start(program: Uint8Array): ReadProgram | undefined;
}

/** One run over the rows of one request: in scan order, or in the order of a get's keys. */
export interface ReadProgram {
  /**
   * Takes the next row in. Synchronous and short. Never throws.
   * @param position of the key among those of a get; of a scan: how many rows came before it
   * @returns false: what follows is not wanted in this answer
   */
  take(key: Uint8Array, value: Uint8Array, position: number): boolean;
  /** Once, behind the last row. Undefined: the program cannot be run here after all. Never throws. */
  finish(): Uint8Array | undefined;
}
