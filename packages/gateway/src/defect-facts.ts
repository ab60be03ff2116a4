/** What is logged of an error that nobody expected: where it was thrown, and not what it says, which may quote a client. */

export interface DefectFacts {
  readonly name: string;
  /** Frames alone. */
  readonly stack: string | undefined;
}

export function defectFacts(thrown: unknown): DefectFacts {
  if (!(thrown instanceof Error)) return { name: typeof thrown, stack: undefined };
  const { name, message, stack = '' } = thrown;
  const behindMessage = stack.indexOf(message) + message.length;
  const frames = stack
    .slice(Math.max(0, behindMessage))
    .split('\n')
    .filter((line) => /^ +at /.test(line));
  return { name, stack: frames.join('\n') };
}
