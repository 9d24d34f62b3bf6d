// Calls xds:///HOST methods in a steady rhythm; one line of JSON for each call.
//
// client.js PAUSE_SECONDS HOST PATH [HOST PATH ...]
//
// Messages are bytes as they stand, so no code is generated: the answer's message is the name of the server.

"use strict";

const grpc = require("@grpc/grpc-js");
const xds = require("@grpc/grpc-js-xds");

const CALL_WITHIN_MILLIS = 10_000;

const asIs = (bytes) => bytes;
const now = () => Date.now() / 1000;

function call(client, host, path) {
  const start = now();
  const deadline = Date.now() + CALL_WITHIN_MILLIS;
  client.makeUnaryRequest(path, asIs, asIs, Buffer.alloc(0), { deadline }, (error, answer) => {
    const outcome = error
      ? { failure: `${grpc.status[error.code]}: ${error.details}` }
      : { upstream: answer.toString() };
    console.log(JSON.stringify({ host, path, start, end: now(), ...outcome }));
  });
}

async function main([pause, ...words]) {
  xds.register();
  const targets = [];
  const clients = new Map();
  while (words.length > 0) {
    const [host, path] = words.splice(0, 2);
    targets.push([host, path]);
    if (!clients.has(host)) {
      clients.set(host, new grpc.Client(`xds:///${host}`, grpc.credentials.createInsecure()));
    }
  }
  for (;;) {
    for (const [host, path] of targets) {
      call(clients.get(host), host, path);
      await new Promise((done) => setTimeout(done, Number(pause) * 1000));
    }
  }
}

main(process.argv.slice(2));
