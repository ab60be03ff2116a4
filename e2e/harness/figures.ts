/** What a test measured, one line each, on standard output: a green test without figures shows little. */

export function figure(test: string, facts: Readonly<Record<string, unknown>>): void {
  const parts = Object.entries(facts).map(([name, value]) => `${name}=${shown(value)}`);
  process.stdout.write(`[e2e] ${test}: ${parts.join(' ')}\n`);
}

function shown(value: unknown): string {
  return typeof value === 'number' ? String(Math.round(value * 10) / 10) : String(value);
}
