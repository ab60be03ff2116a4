/** What the programs here have in common: checks of what is given on their command lines, and their end by a signal. */
import { InvalidArgumentError } from 'commander';

/** @param least the smallest number that makes sense */
export function numberFrom(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isFinite(value) || value < least)
      throw new InvalidArgumentError(`A number >= ${least} is expected.`);
    return value;
  };
}

export function wholeNumberFrom(least: number): (text: string) => number {
  const number = numberFrom(least);
  return (text) => {
    const value = number(text);
    if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('It must be whole.');
    return value;
  };
}

/** Numbers with commas between them. */
export function numbersFrom(least: number): (text: string) => readonly number[] {
  const number = numberFrom(least);
  return (text) => text.split(',').map(number);
}

export function pattern(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}

/** @param known what may stand in the list */
export function namesAmong(known: readonly string[]): (text: string) => readonly string[] {
  return (text) => {
    const names = text.split(',');
    for (const name of names)
      if (!known.includes(name))
        throw new InvalidArgumentError(`"${name}" is unknown; there are ${known.join(', ')}.`);
    return names;
  };
}

/** Ctrl-C leaves no server behind: some of them do not end with this process by themselves. */
export function endOnSignals(end: () => Promise<void>): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      void end().finally(() => process.exit(1));
    });
}
