// banger completion
import { BangerError } from "../../lib/errors.ts";
import { defineCommand } from "../command.ts";
import { scripts, type Shell, shells } from "../completion/scripts.ts";

export default defineCommand<NonNullable<unknown>, [Shell]>({
  about: `Prints a script that lets your shell complete commands, options, and the names of VMs, images and kernels. Names come from
the daemon; when it is down there are none.`,
  examples: [
    ["echo 'source <(banger completion bash)' >> ~/.bashrc", "bash, for every new shell"],
    ["echo 'source <(banger completion zsh)' >> ~/.zshrc", "zsh, after compinit"],
    ["banger completion fish > ~/.config/fish/completions/banger.fish", "fish"],
  ],
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [
        {
          parse: (text: string): Shell => {
            const shell = shells.find((name) => name === text);
            if (shell === undefined) {
              throw new BangerError("usage", `no completion for the shell "${text}": write ${shells.join(", ")}`);
            }
            return shell;
          },
          proposeCompletions: () => shells,
          placeholder: "shell",
          brief: shells.join(", "),
        },
      ],
    },
  },
  run({ terminal, streams }, _flags, shell) {
    if (terminal.json) terminal.printJson({ shell, script: scripts[shell] });
    else streams.stdout.write(scripts[shell]);
  },
});
