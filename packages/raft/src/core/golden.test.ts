/**
 * Golden interaction scripts: `testdata/*.txt`. A block is comments, commands, `----`, and exactly what happens then.
 * `UPDATE_GOLDEN=1` rewrites the expectations; a human reads the difference before it is committed.
 *
 *   group voters=3 learners=1 fresh=no appendBytesMax=1    log 1 t1 t1 t4    term 1 4    start 1 2 3
 *   wait 1000    tick 1    take 1    sync 1    run 1    settle 1 2 3    beat 1 1 2 3
 *   deliver from=1 to=2 kind=timeoutNow    drop …    propose 1 x    read 1    lease 1    transfer 1 2
 *   crash 1    restart 1    status 1    terms 1    configuration 1
 *   group voters=3 spares=1    add 1 4    create 4    change 1 promote=4 demote=1    remove 1 4
 *   compact 1 5    install 1 4 (what 1 has applied is staged at 4)    sent 1 4 5    sent 1 4 0 ok=no
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { assert, toLogIndex, toReplicaId } from '@flotilla/base';
import { expect, test } from 'vitest';
import type { RaftMessage } from '../messages.ts';
import { formatConfiguration } from '../testing/format.ts';
import { ManualGroup, type MessageFilter } from '../testing/manual-group.ts';
import type { ChangeResult } from './raft-core.ts';

const directory = new URL('../../testdata/', import.meta.url);
const updating = process.env.UPDATE_GOLDEN === '1';

class Script {
  private group = new ManualGroup();
  private readonly terms = new Map<number, number>();

  run(command: string): string[] {
    const [verb = '', ...words] = command.split(/\s+/);
    this.group.events = [];
    const said = this.execute(verb, words);
    return [...said, ...this.group.events];
  }

  private execute(verb: string, words: readonly string[]): string[] {
    const { group } = this;
    const ids = words.map(Number);
    const id = ids[0] ?? 0;
    const named = new Map(words.map((word) => word.split('=') as [string, string]));
    switch (verb) {
      case 'group':
        this.group = new ManualGroup({
          voters: Number(named.get('voters') ?? 3),
          learners: Number(named.get('learners') ?? 0),
          freshGroup: named.get('fresh') !== 'no',
          spares: Number(named.get('spares') ?? 0),
          limits: named.has('appendBytesMax')
            ? { appendBytesMax: Number(named.get('appendBytesMax')) }
            : {},
        });
        return [];
      case 'term':
        this.terms.set(id, ids[1] ?? 0);
        return [];
      case 'log': {
        const term = this.terms.get(id);
        const terms = words.slice(1).map((word) => Number(word.slice(1)));
        group.setLog(id, terms, term === undefined ? {} : { term });
        return [];
      }
      case 'start':
        group.start(words.length > 0 ? ids : undefined);
        return [];
      case 'wait':
        group.wait(id);
        return [];
      case 'tick':
        group.tick(id);
        return [];
      case 'take':
        return group.take(id) === undefined ? ['nothing'] : [];
      case 'sync':
        group.sync(id);
        return [];
      case 'run':
        group.run(id);
        return [];
      case 'settle':
        group.settle(words.length > 0 ? ids : undefined);
        return [];
      case 'beat':
        group.beat(id, ids.length > 1 ? ids.slice(1) : undefined);
        return [];
      case 'deliver':
        group.deliver(filterOf(named));
        return [];
      case 'drop':
        return [`dropped ${group.drop(filterOf(named)).length}`];
      case 'propose': {
        const result = group.propose(id, words[1] ?? '');
        return [result.ok ? `t${result.term}/i${result.index}` : result.reason];
      }
      case 'read': {
        const result = group.act(id, (core, now) => core.readIndex(now));
        return [result.ok ? `context ${result.context}` : result.reason];
      }
      case 'lease':
        return [`${Math.round(group.core(id).status(group.now).leaseRemainingMs)} ms`];
      case 'transfer': {
        const target = toReplicaId(ids[1] ?? 0);
        const result = group.act(id, (core, now) => core.transferLeadership(target, now));
        return [result.ok ? 'ok' : result.reason];
      }
      case 'add':
        return [said(group.addLearner(id, ids[1] ?? 0))];
      case 'remove':
        return [said(group.removeLearner(id, ids[1] ?? 0))];
      case 'change': {
        const listed = (name: string): number[] => named.get(name)?.split(',').map(Number) ?? [];
        return [said(group.changeVoters(id, listed('promote'), listed('demote')))];
      }
      case 'create':
        group.create(id);
        return [];
      case 'configuration':
        return [formatConfiguration(group.core(id).configuration)];
      case 'compact':
        group.compact(id, ids[1] ?? 0);
        return [];
      case 'install':
        return [group.install(id, ids[1] ?? 0) ? 'staged' : 'refused'];
      case 'sent': {
        const index = toLogIndex(ids[2] ?? 0);
        group.sent(id, ids[1] ?? 0, { ok: named.get('ok') !== 'no', index });
        return [];
      }
      case 'crash':
        group.crash(id);
        return [];
      case 'restart':
        group.restart(id);
        return [];
      case 'status': {
        const status = group.core(id).status(group.now);
        return [
          `${status.role} t${status.term} leader=${status.leader ?? '-'} ` +
            `last=i${status.lastIndex} persisted=i${status.persistedIndex} ` +
            `commit=i${status.commitIndex} applied=i${status.lastApplied} ` +
            `compactable=i${status.compactableIndex}`,
        ];
      }
      case 'terms':
        return [
          group
            .terms(id)
            .map((term) => `t${term}`)
            .join(' '),
        ];
      default:
        throw new Error(`unknown command ${verb}`);
    }
  }
}

function said(result: ChangeResult): string {
  return result.ok ? `t${result.term}/i${result.index}` : result.reason;
}

function filterOf(named: ReadonlyMap<string, string>): MessageFilter {
  const from = named.get('from');
  const to = named.get('to');
  const kind = named.get('kind');
  return {
    ...(from === undefined ? {} : { from: Number(from) }),
    ...(to === undefined ? {} : { to: Number(to) }),
    ...(kind === undefined ? {} : { kind: kind as RaftMessage['kind'] }),
  };
}

/** The script with what really happens after each `----`. */
function replay(text: string): string {
  const script = new Script();
  const blocks = text.trimEnd().split(/\n\n+/);
  const replayed = blocks.map((block) => {
    const [input = ''] = block.split('\n----');
    const commands = input.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    if (commands.length === 0) return input;
    const happened = commands.flatMap((command) => script.run(command));
    return [input, '----', ...(happened.length > 0 ? happened : ['quiet'])].join('\n');
  });
  return `${replayed.join('\n\n')}\n`;
}

const files = readdirSync(directory).filter((name) => name.endsWith('.txt'));
assert(files.length > 0 || updating, 'there are scripts');

for (const file of files)
  test(`testdata/${file}`, () => {
    const path = new URL(file, directory);
    const text = readFileSync(path, 'utf8');
    const happened = replay(text);
    if (updating) writeFileSync(path, happened);
    else expect(happened).toBe(text);
  });
