// Does what a button asks for, says how it went, and has the view drawn anew.

import { confirmed, toast } from "./dom.js";

let refresh = () => {};

export const afterEach = (draw) => { refresh = draw; };

export async function act(action, done) {
  try {
    const answer = await action();
    toast(typeof done === "function" ? done(answer) : done);
  } catch (error) {
    toast(error.message, true);
  }
  refresh();
}

export async function actAfterAsking(question, detail, verb, action, done) {
  if (await confirmed(question, detail, verb)) await act(action, done);
}
