// What the type checker does not see; names and unused variables are its business (tsconfig.json).
const rules = {
  eqeqeq: "error",
  "max-depth": ["error", 4],
  "no-cond-assign": ["error", "except-parens"],
  "no-empty": "error",
  "no-fallthrough": "error",
  "no-self-compare": "error",
  "no-throw-literal": "error",
  "no-unsafe-finally": "error",
  "no-useless-assignment": "error",
  "no-var": "error",
  "prefer-const": ["error", { destructuring: "all" }],
};
const short = { "max-len": ["error", 100], "max-lines": ["error", 300] };
export default [
  { files: ["**/*.js"], rules },
  { files: ["**/lab/*.js", "**/small/*.js", "**/scripts/*.js"], rules: short },
];
