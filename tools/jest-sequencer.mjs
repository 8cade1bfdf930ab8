// Which spec files jest begins with: those that wait for servers, as they take longest and leave the
// processors to the others meanwhile. Begun last, they would have the end to themselves.
import Sequencer from '@jest/test-sequencer';

const folders = ['conformance', 'simulation', 'faults', 'integration', 'decorators', 'unit'];

export default class extends (Sequencer.default ?? Sequencer) {
  sort(tests) {
    const rank = ({ path }) => folders.findIndex((folder) => path.includes(`/test/${folder}/`));
    return super.sort(tests).toSorted((one, other) => rank(one) - rank(other));
  }
}
