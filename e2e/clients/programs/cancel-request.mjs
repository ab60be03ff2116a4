/** A CancelRequest as libpq sends it: on a connection of its own, which the server closes without a word. */
import { once } from 'node:events';
import { connect } from 'node:net';

export async function cancelRequest({ host, port }, processId, secret) {
  const request = Buffer.alloc(16);
  request.writeInt32BE(16, 0);
  request.writeInt32BE(80_877_102, 4);
  request.writeInt32BE(processId, 8);
  request.writeInt32BE(secret, 12);
  const socket = connect(port, host);
  await once(socket, 'connect');
  socket.write(request);
  socket.resume();
  await once(socket, 'close');
}
