/** Data of COPY TO on its way out: lines as CopyData, no faster than the peer takes them. */
import type { CopyOut } from '@flotilla/sql';
import { writeCopyResponse } from '../messages/backend-messages.ts';
import { Backend } from '../messages/message-types.ts';
import type { RowTarget } from './row-cursor.ts';

export async function sendCopy(target: RowTarget, copy: CopyOut): Promise<void> {
  const { link, runner, flushBytes } = target;
  const { output } = link;
  writeCopyResponse(output, Backend.copyOutResponse, copy);
  for await (const lines of copy.lines)
    for (const line of lines) {
      const message = output.beginMessage(Backend.copyData);
      if (typeof line === 'string') output.writeText(line);
      else output.writeBytes(line);
      output.endMessage(message);
      if (output.length < flushBytes) continue;
      const wait = link.push();
      if (wait === undefined) continue;
      await wait;
      runner.throwIfAborted();
    }
  output.endMessage(output.beginMessage(Backend.copyDone));
}
