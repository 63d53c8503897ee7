"""The prompts of `validation.prompts = "default"`, which the demo offers as examples too."""

DEFAULT_PROMPTS = (
    "A small boat with a striped sail rocks on the blue water of a harbour.",
    "A figure in a red cap walks along a street of brick houses, seen from the side.",
    "A yellow excavator lifts a load of grey bricks and turns slowly to the left.",
    "A castle gate opens at dawn, and a knight on a white horse rides out.",
    "Snow falls on a village of brick houses at night, warm light in the windows.",
    "A green dragon lands on a tower and folds its wings.",
    "Close-up of a figure's face: the smile turns into surprise.",
    "A rocket lifts off from a grey baseplate, orange smoke rolling towards the camera.",
)
