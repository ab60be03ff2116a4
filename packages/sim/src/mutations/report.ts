/** What a campaign found, for people: a line while it runs, a page of markdown at its end. */
import type { Outcome } from './hunt.ts';
import { isHunted, type Mutant } from './mutant.ts';

export function lineOf(outcome: Outcome): string {
  const { mutant, result, seed, death, reported, seeds, seconds, falseAlarms } = outcome;
  const cost = `${seeds} seeds, ${seconds.toFixed(1)} s`;
  const by = death === 'test' ? 'its test' : `seed ${seed}`;
  const alarms =
    falseAlarms.length === 0 ? '' : `; FAILS WITHOUT IT TOO: ${falseAlarms.join(', ')}`;
  switch (result) {
    case 'killed':
      return `${mutant.name}: killed by ${by} (${death}; ${cost}): ${reported}${alarms}`;
    case 'broken':
      return `${mutant.name}: DOES NOT RUN, seed ${seed}: ${reported}`;
    case 'survived':
      return `${mutant.name}: SURVIVED (${cost})${alarms}`;
  }
}

export function listLine(mutant: Mutant): string {
  const { name, breaks, changes, equivalent } = mutant;
  const files = [...new Set(changes.map(({ file }) => file))].join(', ');
  const state = equivalent === undefined ? ' (not found yet)' : ' (equivalent)';
  return `${name}${isHunted(mutant) ? '' : state}\n    ${breaks}\n    ${files}`;
}

const introduction = `# Planted bugs

Can the simulator fail? Every row is a bug that was planted in the built tree: a small replacement of text that
takes one rule away (\`packages/sim/src/mutations\`), whose modules are loaded in place of the tree's. The program is
then run by seeds, from the first on, in a world that makes the bug likely, until a seed shows it. That seed counts only if the tree without the bug passes it, in the same world.

- *death*: how it was noticed. **checker**: a property of the simulator did not hold. **assertion**: a process refused to go
  on, by an assertion of its own or by what it found on its disk. **liveness**: the faults were over and the cluster did not
  serve, or the seed did not end.
  **test**: what it needs comes about too seldom in any world, so a test was written for the rule: it fails with the bug,
  and passes without it.
- *seeds*: how many were run, the killing one included. *s*: seconds of one processor for them.
- A mutant with several replacements breaks a rule that a second rule covers; its row says which.

\`\`\`
pnpm sim:mutations                                  # all, on all processors; exit code 1 if one survives
pnpm sim:mutations --list
pnpm sim:mutations --only NAME --seconds 60         # one, with another limit
pnpm sim:mutations --only NAME --seed 1003          # exactly this seed
pnpm sim:mutations --report docs/mutations.md       # writes this page
\`\`\`

A seed does the same for the same tree, so the numbers change only when the tree does. A survivor means that a checker, a
fault or a workload is missing, that another rule covers the one that was taken away, or that nobody needs it.
`;

/** @param all of the catalogue: those that nobody has found yet are named too */
export function pageOf(
  outcomes: readonly Outcome[],
  all: readonly Mutant[],
  run: { readonly wallSeconds: number; readonly processes: number },
): string {
  const { wallSeconds, processes } = run;
  const killed = outcomes.filter(({ result }) => result === 'killed');
  const by = (death: string): number => killed.filter((each) => each.death === death).length;
  const cpu = outcomes.reduce((sum, { seconds }) => sum + seconds, 0);
  const lines = [
    introduction,
    `${killed.length} of ${outcomes.length} killed: ${by('checker')} by a checker, ${by('assertion')} by an assertion, ` +
      `${by('liveness')} by liveness, ${by('test')} by a test. ${cpu.toFixed(0)} s of processor time for the hunted seeds, ` +
      `${wallSeconds.toFixed(0)} s by the clock with ${processes} processes.`,
    '',
    '| planted | breaks | seed | death | reported | seeds | s |',
    '|---|---|---|---|---|---|---|',
    ...outcomes.map((outcome) => {
      const { mutant, result, seed, death, reported, seeds, seconds } = outcome;
      const cells = [
        mutant.name,
        mutant.breaks,
        result !== 'killed' ? `**${result}**` : death === 'test' ? '' : String(seed),
        death ?? '',
        shorten(reported),
        String(seeds),
        seconds.toFixed(1),
      ];
      return `| ${cells.map(cell).join(' | ')} |`;
    }),
  ];
  lines.push(
    ...section(
      'Not found yet',
      'Left out of the campaign; `--only NAME` hunts them. The reasons are guesses where they say so, and not proven elsewhere.',
      all.flatMap((each) => (each.unfound === undefined ? [] : [[each, each.unfound]])),
    ),
    ...section(
      'Equivalent',
      'Left out of the campaign: without the rule the program does the same, as far as anybody outside can tell. The rule stays as the second lock on a door.',
      all.flatMap((each) => (each.equivalent === undefined ? [] : [[each, each.equivalent]])),
    ),
  );
  return `${lines.join('\n')}\n`;
}

function section(
  title: string,
  about: string,
  rows: readonly (readonly [Mutant, string])[],
): readonly string[] {
  if (rows.length === 0) return [];
  return [
    '',
    `## ${title}`,
    '',
    about,
    '',
    '| planted | breaks | why it lives |',
    '|---|---|---|',
    ...rows.map(([{ name, breaks }, why]) => `| ${[name, breaks, why].map(cell).join(' | ')} |`),
  ];
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

/** Names of checkers and the beginning say enough; the seed says the rest. */
function shorten(text: string): string {
  const most = 140;
  return text.length <= most ? text : `${text.slice(0, most).trimEnd()} …`;
}
