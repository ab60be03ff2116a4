/** Where a query stands: what it shares with the query around it. */
import { type CteNames, Frame, Scope } from './scope.ts';

export interface Level {
  readonly frame: Frame;
  readonly ctes: CteNames | undefined;
  /** For a query in FROM: the level whose other items it cannot see. */
  readonly hidden?: Scope | undefined;
}

/** The level of a query in an expression of `scope`. */
export function innerLevel(scope: Scope): Level {
  return { frame: new Frame(scope), ctes: scope.ctes };
}

export function topLevel(): Level {
  return { frame: new Frame(undefined), ctes: undefined };
}

/** A scope without items at this level. */
export function bareScope(level: Level): Scope {
  return new Scope([], level.frame, { ctes: level.ctes, hidden: level.hidden });
}
