"""Functions of functions: derivatives of any order, with arguments nested in any way."""

from .call import depends_on_others as depends_on_others
from .call import fresh_tensor as fresh_tensor
from .call import pulled_back as pulled_back
from .call import stop_gradient as stop_gradient
from .checkpoint import checkpoint as checkpoint
from .custom import differentiable as differentiable
from .linear import curvature as curvature
from .linear import hvp as hvp
from .linear import jvp as jvp
from .linear import linearize as linearize
from .linear import vjp as vjp
from .nests import floating as floating
from .nests import in_kind as in_kind
from .nests import mapped as mapped
from .nests import matched as matched
from .nests import parameters as parameters
from .nests import same as same
from .transforms import grad as grad
from .transforms import hessian as hessian
from .transforms import jacobian as jacobian
from .transforms import value_and_grad as value_and_grad
from .vmap import per_sample_grad as per_sample_grad
from .vmap import vmap as vmap
