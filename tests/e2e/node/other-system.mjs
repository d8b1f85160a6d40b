// Starts a run, follows what happens to it, and signals it when it waits: with the ordinary NATS client, and no HTTP.
//
// NATS_URL says where, with user and password. Arguments: workflow, run id. Every event of the run is printed as a line.
import { connect } from "@nats-io/transport-node";

const [workflowId, runId] = process.argv.slice(2);
const address = new URL(process.env.NATS_URL);
const nats = await connect({ servers: address.host, user: address.username, pass: address.password });

// A subject of a stream answers a request with where the message was stored: then it will not be lost.
async function store(subject, message) {
  const answer = (await nats.request(subject, JSON.stringify(message), { timeout: 5000 })).json();
  if (answer.error) throw new Error(`${subject}: ${answer.error.description}`);
}

const events = nats.subscribe("wf.event.>");
await nats.flush();
await store(`wf.task.run.${runId}`, { workflowId, input: { from: "node" }, environment: "test", actor: "other-system" });

let last = 0;
for await (const message of events) {
  const event = message.json();
  // The stream is at least once: what was seen before is told apart by run and seq.
  if (event.runId !== runId || event.seq <= last) continue;
  last = event.seq;
  console.log(JSON.stringify(event));
  if (event.type === "state_entered" && event.data.stateName === "wait") {
    await store(`wf.task.resume.${runId}`, { name: "go", payload: { said: "by node" } });
  }
  if (["run_completed", "run_failed", "run_cancelled", "run_timed_out"].includes(event.type)) break;
}
await nats.drain();
