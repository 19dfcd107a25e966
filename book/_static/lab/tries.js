// Buttons in the playground's "things to try": each sets the controls of the laboratory. A box is
// found by the end of its title; tests/test_lab.py holds this list against the page.
import { make } from "./dom.js";
import { TRAINED } from "./facts.js";

/** @typedef {[string, Partial<import("./settings.js").Settings> | null]} Way words, settings */

/** @type {Record<string, Way[]>} title of a box -> its buttons; null: choose an image */
export const TRIES = {
  "The home game": [["The values of the training", {}]],
  "Five degrees": [["Angle 25°", { angle: 25 }]],
  "Sixty degrees": [["Angle 60°", { angle: 60 }]],
  "The easier task": [["Length 5 pixels", { length: 5 }]],
  "Tell them": [["Angle 60°, told", { angle: 60, told: true }]],
  "More noise, and none": [["Noise 0.05", { level: 0.05 }], ["No noise", { level: 0 }]],
  "Your world": [["Choose a photograph", null]],
};

/**
 * Put the buttons into the boxes of the page.
 * @param {(settings: Partial<import("./settings.js").Settings>) => void} set
 * @param {() => void} choose
 */
export function addTries(set, choose) {
  for (const box of document.querySelectorAll("article .admonition.predict")) {
    const words = box.querySelector(".admonition-title")?.textContent?.trim() ?? "";
    const name = Object.keys(TRIES).find((title) => words.endsWith(`. ${title}`));
    const buttons = (name ? TRIES[name] : []).map(([text, settings]) =>
      make("button", { type: "button", class: "lab-try", text, onclick: () =>
        settings ? set({ ...TRAINED, told: false, ...settings }) : choose() }));
    if (!buttons.length) continue;
    const row = make("p", { class: "lab-tries" }, "Set the laboratory: ", ...buttons);
    const answer = box.querySelector("details");
    if (answer) answer.before(row);
    else box.append(row);
  }
}
