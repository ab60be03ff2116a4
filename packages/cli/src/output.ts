/** Where a command writes. Programs hand in the process's own streams, tests their own. */
export interface Output {
  out(text: string): void;
  err(text: string): void;
}
