import { describe, expect, it } from 'vitest';
import { ManualClock } from './testing/manual-clock.ts';
import { TurnEnd } from './turn-end.ts';

type Stage = 'propose' | 'consensus' | 'send';

function setUp() {
  const clock = new ManualClock();
  let turns = 0;
  const counted = {
    nowMs: () => clock.nowMs(),
    wallMs: () => clock.wallMs(),
    setTimer: (delayMs: number, callback: () => void) => clock.setTimer(delayMs, callback),
    afterTurn: (callback: () => void) =>
      clock.afterTurn(() => {
        turns++;
        callback();
      }),
  };
  const end = new TurnEnd<Stage>(counted, ['propose', 'consensus', 'send']);
  const ran: string[] = [];
  const add = (stage: Stage, then: () => void = () => {}): void =>
    end.clockOf(stage).afterTurn(() => {
      ran.push(`${turns} ${stage}`);
      then();
    });
  return { clock, ran, add };
}

describe('TurnEnd', () => {
  it('runs the stages in their order, whoever came first, at the end of one turn', () => {
    const { clock, ran, add } = setUp();
    add('send');
    add('consensus');
    add('propose');
    add('propose');
    expect(ran).toEqual([]);
    clock.runTurn();
    expect(ran).toEqual(['1 propose', '1 propose', '1 consensus', '1 send']);
    clock.runTurn();
    expect(ran).toHaveLength(4);
  });

  it('what a stage brings about for later ones belongs to the same turn', () => {
    const { clock, ran, add } = setUp();
    add('send');
    add('propose', () => add('consensus', () => add('send')));
    clock.runTurn();
    expect(ran).toEqual(['1 propose', '1 consensus', '1 send', '1 send']);
  });

  it('what it brings about for its own or an earlier one waits for the next turn', () => {
    const { clock, ran, add } = setUp();
    add('consensus', () => {
      add('consensus');
      add('propose');
    });
    add('send');
    clock.runTurn();
    expect(ran).toEqual(['1 consensus', '1 send', '2 propose', '2 consensus']);
  });

  it('one that throws is heard of, and the others run', () => {
    const { clock, ran, add } = setUp();
    add('propose', () => {
      throw new Error('a bug');
    });
    add('propose');
    add('send');
    expect(() => clock.runTurn()).toThrow('a bug');
    clock.runTurn();
    expect(ran).toEqual(['1 propose', '2 propose', '2 send']);
  });
});
