import { setTimeout as sleep } from "node:timers/promises";
import { connect, headers } from "@nats-io/transport-node";

const { host, username: user, password: pass } = new URL(process.env.NATS_URL);
const nats = await connect({ servers: host, user, pass });
const jobs = new Map();

async function forecast({ city, seconds = 0 }, signal) {
  if (city === "Atlantis") throw new Error("there is no such city: Atlantis");
  await sleep(seconds * 1000, undefined, { signal });
  return { city, sky: "clear" };
}

function reply(message, body, name, value) {
  const marks = headers();
  if (name) marks.set(name, value);
  nats.publish(message.reply, body, { headers: marks });
}

async function serve(message) {
  const { variables, idempotencyKey } = message.json();
  const stop = new AbortController();
  jobs.set(idempotencyKey, stop);
  console.log("asked", idempotencyKey);
  const working = () => reply(message, "", "station-status", "working");
  const beat = setInterval(working, 10_000);
  working();
  try {
    reply(message, JSON.stringify(await forecast(variables, stop.signal)));
  } catch (error) {
    if (stop.signal.aborted) console.log("stopped", idempotencyKey);
    else reply(message, error.message, "station-error", "agent_error");
  } finally {
    clearInterval(beat);
    jobs.delete(idempotencyKey);
  }
}

nats.subscribe("agent.weather.cancel", { callback: (_, message) => jobs.get(message.json().idempotencyKey)?.abort() });
nats.subscribe("agent.weather", { queue: "weather", callback: (_, message) => serve(message) });
await nats.flush();
console.log("ready");
