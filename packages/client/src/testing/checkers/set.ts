/** Unique elements that were added, against what is there at the end: nothing lost, invented or doubled. */
import type { Verdict } from './history.ts';

export interface SetHistory {
  /** Added for sure. */
  readonly acknowledged: readonly string[];
  /** Perhaps added. */
  readonly unknown: readonly string[];
  /** Everything that is there at the end, with repetitions. */
  readonly found: readonly string[];
}

export function checkSet(history: SetHistory): Verdict {
  const counts = new Map<string, number>();
  for (const element of history.found) counts.set(element, (counts.get(element) ?? 0) + 1);
  const acknowledged = new Set(history.acknowledged);
  const allowed = new Set([...acknowledged, ...history.unknown]);
  const lost = [...acknowledged].filter((element) => !counts.has(element));
  const unexpected = [...counts.keys()].filter((element) => !allowed.has(element));
  const doubled = [...counts].filter(([, count]) => count > 1).map(([element]) => element);
  const findings = [
    ['lost', lost],
    ['unexpected', unexpected],
    ['doubled', doubled],
  ] as const;
  const bad = findings.filter(([, elements]) => elements.length > 0);
  if (bad.length === 0) return { kind: 'ok' };
  return {
    kind: 'violation',
    message: bad
      .map(([what, elements]) => `${elements.length} ${what}: ${elements.slice(0, 20).join(', ')}`)
      .join('; '),
  };
}
